//! `deepcluster import`

use deepcluster::data::Location;
use deepcluster::trainer::{RunDirectory, resume_run};
use serde_json::json;

use crate::arguments::{Import, Output};
use crate::commands::train::train;
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::print_json;

pub(crate) fn run(command: Import, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let mut progress = Progress::new(output, stop_flag()?);
    let images = command.images.as_ref().map(Location::from);
    let run =
        RunDirectory::import_checkpoint(&command.checkpoint, &command.out, images.as_ref(), |config| {
            command.settings.change(config)
        })?;
    let config = run.config()?;
    let network = config.network()?;
    let input = if network.sobel { "Sobel" } else { "RGB" };
    progress.say(&format!(
        "imported {} with {input} input at {} px, trained for {} epochs, into {}",
        network.architecture,
        network.image_size,
        config.training.epochs,
        command.out.display()
    ));
    if output.json {
        print_json(&json!({"event": "imported", "run": command.out.to_string_lossy(), "config": config}));
    }
    // Nothing was locked for longer than it took to write.
    drop(run);
    if images.is_none() {
        let out = command.out.display();
        progress.say(&format!(
            "to cluster a folder of images with it: deepcluster train FOLDER --out {out} --resume"
        ));
        return Ok(());
    }
    train(resume_run(&command.out, &[device], |_| Ok(()))?, &mut progress, output)
}
