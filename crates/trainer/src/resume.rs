//! Going on with a run: from which checkpoint, with which settings, and what becomes of its results.

use std::path::Path;

use burn::tensor::{Device, TensorData};
use deepcluster_data::ImageFolder;
use deepcluster_models::{Backbone, Head, ModelError, import_weights};

use crate::checkpoint::{Checkpoint, Progress};
use crate::config::TrainConfig;
use crate::error::TrainerError;
use crate::results::MODEL;
use crate::run_directory::{CHECKPOINTS, RunDirectory};
use crate::trained_model::SavedModel;
use crate::trainer::Trainer;

/// Settings a resumed run may change, because no result depends on them. The number of epochs may grow.
const CHANGEABLE: [&str; 8] = [
    "training.epochs",
    "training.checkpoint_steps",
    "training.tensorboard",
    "data.num_workers",
    "data.prefetch_batches",
    "data.cache_mib",
    "data.disk_cache",
    "data.disk_cache_mib",
];

impl<B: Backbone> Trainer<B> {
    /// As [`Trainer::resume`] for any network.
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub fn resume_with_backbone(
        out: impl AsRef<Path>,
        device: &Device,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
        init: impl FnOnce(u64, &Device) -> Result<B, ModelError>,
    ) -> Result<Self, TrainerError> {
        let run = RunDirectory::open_to_train(out.as_ref())?;
        let saved = run.config()?;
        let mut config = saved.clone();
        change(&mut config)?;
        // An imported run in which nothing has been done yet is free, but for its network.
        if run.has_images() || run.origin()?.is_none() {
            refuse_changes(&run, &saved, &config)?;
        }
        config.validate()?;
        let images = if run.has_images() {
            run.images()?
        } else {
            ImageFolder::scan(run.images_root()?, &config.scan_config())?
        };
        let mut trainer = Self::assemble(config, images, run, device, init)?;
        let has_checkpoint = trainer.restore_newest(saved.training.epochs)?;
        trainer.take_up_results(&saved, has_checkpoint)?;
        trainer.complete_event_file();
        Ok(trainer)
    }

    /// Keeps the results of a run that is finished and has nothing left to do. Those of any other are retired, now that
    /// all that is needed to go on is known to be there: from here on the run is not finished.
    fn take_up_results(&mut self, saved: &TrainConfig, has_checkpoint: bool) -> Result<(), TrainerError> {
        let num_asked = self.config.training.epochs;
        // A model of another number of epochs is not that of this run.
        let model_epochs = self.run.epochs_of_model().filter(|epochs| *epochs == saved.training.epochs);
        let begun = self.progress.epoch.saturating_add(usize::from(self.progress.step > 0));
        refuse_fewer_epochs(num_asked, begun.max(model_epochs.unwrap_or(0)))?;
        let has_results = self.run.file(MODEL).exists();
        if has_results && num_asked == saved.training.epochs {
            match self.whole_results() {
                Ok(results) => {
                    self.results = Some(results);
                    return Ok(());
                }
                Err(error @ TrainerError::Io { .. }) => return Err(error),
                Err(error) => log::warn!("{error}: they are written again"),
            }
        }
        if !has_checkpoint && (has_results || self.run.origin()?.is_some()) {
            let (path, reason) = (self.run.file(CHECKPOINTS), "there is none".to_string());
            return Err(TrainerError::NoUsableCheckpoint { path, reason });
        }
        if !self.images.root().is_dir() {
            let (path, images) = (self.run.path().to_path_buf(), self.images.root().to_path_buf());
            return Err(TrainerError::ImagesGone { path, images });
        }
        if has_results {
            self.run.retire_results()?;
        }
        if self.config != *saved {
            self.run.write_config(&self.config)?;
        }
        Ok(())
    }

    /// The model of a finished run of which no file is missing, damaged or another's.
    fn whole_results(&self) -> Result<SavedModel, TrainerError> {
        let unfinished = || TrainerError::Unfinished { path: self.run.path().to_path_buf() };
        let model = SavedModel::load(&self.run)?.ok_or_else(unfinished)?;
        self.run.check_features()?;
        self.run.assignments()?;
        let last_epoch = self.run.metrics()?.last().map(|last| last.epoch);
        if last_epoch == Some(self.config.training.epochs) { Ok(model) } else { Err(unfinished()) }
    }

    /// Goes to the place of the newest checkpoint that fits a run of `num_epochs`; `false` where there is none.
    fn restore_newest(&mut self, num_epochs: usize) -> Result<bool, TrainerError> {
        let folder = self.run.file(CHECKPOINTS);
        let restore = |checkpoint| self.restore(checkpoint, num_epochs);
        let restored = Checkpoint::restore_newest(&folder, restore, |problem| log::warn!("{problem}"))?;
        Ok(restored.is_some())
    }

    /// Takes everything from a checkpoint, or nothing where it does not fit the run.
    fn restore(&mut self, checkpoint: Checkpoint, num_epochs: usize) -> Result<(), String> {
        let Checkpoint { progress, network, velocities, head, assignments } = checkpoint;
        let Progress { epoch, step, .. } = progress;
        if (epoch, step) > (num_epochs, 0) {
            return Err(format!("it is at epoch {epoch}, step {step}, in a run of {num_epochs} epochs"));
        }
        let num_images = self.images.len();
        if let Some(assignments) = assignments.as_ref().filter(|clusters| clusters.len() != num_images) {
            return Err(format!("it has {} images, and images.csv {num_images}", assignments.len()));
        }
        let num_steps = self.config.num_samples(num_images).div_ceil(self.config.training.batch_size);
        if step > 0 && step >= num_steps {
            return Err(format!("it has done {step} of {num_steps} steps of an epoch"));
        }
        for (name, velocity) in &velocities {
            let num_weights = network.get(name).map(TensorData::num_elements);
            if velocity.shape().len() != 1 || Some(velocity.num_elements()) != num_weights {
                return Err(format!("the momentum of '{name}' is not that of a weight"));
            }
        }
        let words = |error: ModelError| error.to_string();
        let network = import_weights(self.network.clone(), network).map_err(words)?;
        let head = head.map(|weights| {
            let num_clusters = weights.get("linear.bias").map_or(0, TensorData::num_elements);
            let num_weights = weights.get("linear.weight").map_or(0, TensorData::num_elements);
            // A head is made of these numbers before it is filled.
            if num_clusters == 0 || num_clusters.checked_mul(network.feature_dim()) != Some(num_weights) {
                return Err(format!("the head has {num_clusters} outputs and {num_weights} weights"));
            }
            let device = self.device().clone().autodiff();
            import_weights(Head::new(network.feature_dim(), num_clusters, 0, &device), weights).map_err(words)
        });
        self.head = head.transpose()?;
        self.optimizer.import(velocities, &self.devices[0]);
        self.network = network;
        self.assignments = assignments;
        self.progress = progress;
        Ok(())
    }
}

/// Refuses settings that a run was not begun with, but for those that may change.
///
/// # Errors
/// [`TrainerError::ConfigChanged`] naming the first.
pub(crate) fn refuse_changes(
    run: &RunDirectory,
    saved: &TrainConfig,
    asked: &TrainConfig,
) -> Result<(), TrainerError> {
    match first_change(saved, asked) {
        None => Ok(()),
        Some((key, saved, asked)) => {
            Err(TrainerError::ConfigChanged { path: run.path().to_path_buf(), key, saved, asked })
        }
    }
}

/// The first setting that differs and may not change, with both of its values.
pub(crate) fn first_change(before: &TrainConfig, after: &TrainConfig) -> Option<(String, String, String)> {
    let (before, after) = (before.values(), after.values());
    let value_of = |values: &[(String, String)], key: &str| {
        values.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let or_unset = |value: Option<String>| value.unwrap_or("not set".to_string());
    let mut changeless = before.iter().chain(&after).filter(|(key, _)| !CHANGEABLE.contains(&key.as_str()));
    changeless.find_map(|(key, _)| {
        let (before, after) = (value_of(&before, key), value_of(&after, key));
        (before != after).then(|| (key.clone(), or_unset(before), or_unset(after)))
    })
}

/// Refuses to end a run before what it has done; `num_done` counts an epoch that has begun.
///
/// # Errors
/// [`TrainerError::InvalidConfig`].
pub(crate) fn refuse_fewer_epochs(num_asked: usize, num_done: usize) -> Result<(), TrainerError> {
    if num_asked >= num_done {
        return Ok(());
    }
    Err(TrainerError::InvalidConfig {
        field: "training.epochs".to_string(),
        value: num_asked.to_string(),
        allowed: format!("at least {num_done}, which have been trained or begun"),
    })
}
