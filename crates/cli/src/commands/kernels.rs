//! `deepcluster kernels`

use deepcluster::report::pictures::kernel_sheet;
use deepcluster::trainer::{RunDirectory, TrainedNetwork};

use super::sheets::SheetFile;
use crate::arguments::{Kernels, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: Kernels, output: Output) -> anyhow::Result<()> {
    let in_run = SheetFile::InRun { run: &command.run, name: "kernels.png" };
    let file = command.out.as_deref().map_or(in_run, SheetFile::Named);
    file.check(command.force)?;
    let device = command.device.device()?;
    let trained = TrainedNetwork::load(&RunDirectory::open(&command.run)?, &device)?;
    let path = file.save(&kernel_sheet(trained.convnet("pictures of kernels")?.network())?)?;
    Progress::new(output, stop_flag()?).say(&format!("the sheet is in {}", path.display()));
    Ok(())
}
