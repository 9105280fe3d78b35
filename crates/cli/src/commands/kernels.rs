//! `deepcluster kernels`

use deepcluster::pictures::kernel_sheet;
use deepcluster::trainer::{RunDirectory, TrainedNetwork};

use super::filters::pictures_folder;
use crate::arguments::{Kernels, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: Kernels, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let trained = TrainedNetwork::load(&RunDirectory::open(&command.run)?, &device)?;
    let path = match command.out {
        Some(path) => path,
        None => pictures_folder(None, &command.run)?.join("kernels.png"),
    };
    kernel_sheet(trained.network())?.save(&path)?;
    Progress::new(output, stop_flag()?).say(&format!("the sheet is in {}", path.display()));
    Ok(())
}
