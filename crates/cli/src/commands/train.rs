//! `deepcluster train`

use std::path::Path;

use anyhow::Context;
use deepcluster::Error;
use deepcluster::data::ImageFolder;
use deepcluster::trainer::{RunDirectory, TrainConfig, TrainingRun, begin_run, resume_run};
use serde_json::json;

use crate::arguments::{CommonSettings, Output, Settings, Train};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::print_json;

pub(crate) fn run(command: Train, output: Output) -> anyhow::Result<()> {
    let devices = command.device.devices()?;
    let mut progress = Progress::new(output, stop_flag()?);
    let run = if command.resume {
        if let Some(folder) = &command.images {
            RunDirectory::open_to_train(&command.out)?.set_images_root(folder)?;
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
        let images = ImageFolder::scan(&folder, &config.scan_config()).map_err(Error::from)?;
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
            images.root().display(),
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

impl Settings {
    /// The settings of a new run.
    pub(crate) fn config(&self) -> Result<TrainConfig, Error> {
        let mut config = TrainConfig::default();
        self.change(&mut config)?;
        Ok(config)
    }

    /// Applies the file, the options and --set, in this order.
    pub(crate) fn change(&self, config: &mut TrainConfig) -> Result<(), Error> {
        self.common.change(config, self.clusters)
    }
}

impl CommonSettings {
    /// Applies the file, the options, among them a number of clusters, and --set, in this order.
    pub(crate) fn change(&self, config: &mut TrainConfig, clusters: Option<usize>) -> Result<(), Error> {
        if let Some(path) = &self.config {
            *config = TrainConfig::load(Path::new(path))?;
        }
        let options = [
            ("objective.kind", self.objective.clone()),
            ("model.architecture", self.arch.clone()),
            ("data.image_size", self.image_size.map(|value| value.to_string())),
            ("clustering.num_clusters", clusters.map(|value| value.to_string())),
            ("clustering.algorithm", self.clustering.clone()),
            ("training.epochs", self.epochs.map(|value| value.to_string())),
            ("training.batch_size", self.batch_size.map(|value| value.to_string())),
            ("training.learning_rate", self.learning_rate.map(|value| format!("{value:?}"))),
            ("seed", self.seed.map(|value| value.to_string())),
            ("data.labels", self.labels.clone()),
        ];
        for (key, value) in options {
            if let Some(value) = value {
                config.set(&format!("{key}={value}"))?;
            }
        }
        self.set.iter().try_for_each(|assignment| config.set(assignment))
    }
}
