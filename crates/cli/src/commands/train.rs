//! `deepcluster train`

use anyhow::Context;
use deepcluster::data::{Images, Location};
use deepcluster::trainer::{RunDirectory, TrainingRun, begin_run, resume_run};
use serde_json::json;

use crate::arguments::{Output, Train};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::print_json;

pub(crate) fn run(command: Train, output: Output) -> anyhow::Result<()> {
    let devices = command.device.devices()?;
    let mut progress = Progress::new(output, stop_flag()?);
    let run = if command.resume {
        if let Some(folder) = &command.images {
            RunDirectory::open_to_train(&command.out)?.set_location(&Location::from(folder))?;
        }
        let run = resume_run(&command.out, &devices, |config| command.settings.change(config))?;
        if !run.is_finished() {
            progress.say(&format!("continuing at epoch {}", run.epoch()));
        }
        run
    } else {
        let config = command.settings.config()?;
        config.validate()?;
        let folder = command.images.context("no folder of images given")?;
        let images = Images::scan(&folder, &config.scan_config())?;
        progress.say_found(&images);
        begin_run(config, images, &command.out, &devices)?
    };
    train(run, &mut progress, output)
}

/// Trains to the end and prints where the results are.
pub(crate) fn train(
    run: Box<dyn TrainingRun>,
    progress: &mut Progress,
    output: Output,
) -> anyhow::Result<()> {
    let out = run.run_directory().path().to_path_buf();
    let images = run.images();
    let num_clusters = run.config().num_clusters(images.len());
    let num_epochs = run.config().training.epochs;
    if run.is_finished() {
        progress.say(&format!(
            "finished after {num_epochs} epochs; nothing left to do; raise --epochs to train longer"
        ));
    } else {
        progress.say(&format!(
            "{} images under {}, {num_clusters} clusters asked for, {num_epochs} epochs",
            images.len(),
            images.location(),
        ));
    }
    run.run(progress)?;
    progress.clear();
    if output.json {
        print_json(&json!({"event": "finished", "run": out.to_string_lossy()}));
    }
    progress.say(&format!(
        "done: the clusters are in {}, the network in {}",
        out.join("assignments.csv").display(),
        out.join("model.safetensors").display()
    ));
    Ok(())
}
