//! Resuming runs: the choice of the checkpoint, the settings, and existing results.

use std::path::Path;

use burn::tensor::{Device, TensorData};
use deepcluster_data::Images;
use deepcluster_engine::Place;
use deepcluster_models::{ModelError, NamedWeights, Network, import_weights};

use crate::error::TrainerError;
use crate::objectives::RunObjective;
use crate::objectives::deepcluster::DeepCluster;
use crate::run::begin::{init_network, named_network, refuse_other_objective};
use crate::run::checkpoint::{Checkpoint, NETWORK_GROUP, Progress};
use crate::run::directory::RunDirectory;
use crate::run::layout::CHECKPOINTS;
use crate::run::results::MODEL;
use crate::run::saved_model::SavedModel;
use crate::settings::changes::{refuse_changes, refuse_fewer_epochs, refuse_other_network};
use crate::settings::config::TrainConfig;
use crate::trainer::Trainer;

impl Trainer<DeepCluster<Network>> {
    /// Resumes the run of DeepCluster in the folder `out` from its newest checkpoint. `change` may alter the
    /// settings that do not touch what has been done: a larger number of epochs, and everything about speed.
    ///
    /// # Errors
    /// [`TrainerError::ConfigChanged`] for another setting, [`TrainerError::InvalidConfig`] for fewer epochs
    /// than have begun, [`TrainerError::NoUsableCheckpoint`], [`TrainerError::ImagesGone`],
    /// [`TrainerError::ImagesUnknown`], [`TrainerError::NotARun`] and [`TrainerError::RunLocked`].
    pub fn resume(
        out: impl AsRef<Path>,
        device: &Device,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
    ) -> Result<Self, TrainerError> {
        Self::take_up(out, device, change)
    }
}

impl<O: RunObjective<Backbone = Network>> Trainer<O> {
    /// As [`Trainer::resume`], for a run of the objective `O`.
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub fn take_up(
        out: impl AsRef<Path>,
        device: &Device,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
    ) -> Result<Self, TrainerError> {
        Self::take_up_images(out, None, device, change)
    }

    /// As [`Trainer::take_up`]; `images`, where they are passed, must have all images of the run. Runs need
    /// this whose images are of a source that only the caller can open.
    ///
    /// # Errors
    /// As [`Trainer::resume`], and [`TrainerError::OtherImages`].
    pub fn take_up_images(
        out: impl AsRef<Path>,
        images: Option<Images>,
        device: &Device,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
    ) -> Result<Self, TrainerError> {
        RunDirectory::open(out.as_ref())?.refuse_custom_network()?;
        Self::resume_with(out, images, device, change, named_network)
    }
}

impl<O: RunObjective> Trainer<O> {
    /// As [`Trainer::take_up_images`] for any network.
    ///
    /// # Errors
    /// As [`Trainer::resume`]; [`TrainerError::OtherInput`] where the network takes other images than those
    /// of the settings.
    pub fn resume_with_backbone(
        out: impl AsRef<Path>,
        images: Option<Images>,
        device: &Device,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
        init: impl FnOnce(u64, &Device) -> Result<O::Backbone, ModelError>,
    ) -> Result<Self, TrainerError> {
        Self::resume_with(out, images, device, change, |_, seed, device| Ok(init(seed, device)?))
    }

    fn resume_with(
        out: impl AsRef<Path>,
        images: Option<Images>,
        device: &Device,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
        init: impl FnOnce(&TrainConfig, u64, &Device) -> Result<O::Backbone, TrainerError>,
    ) -> Result<Self, TrainerError> {
        let run = RunDirectory::open_to_train(out.as_ref())?;
        let saved = run.config()?;
        let mut config = saved.clone();
        change(&mut config)?;
        // An imported run in which nothing has been done yet is free, but for its network.
        if run.has_images() || run.origin()?.is_none() {
            refuse_changes(run.path(), &saved, &config)?;
        } else {
            refuse_other_network(run.path(), &saved, &config)?;
        }
        config.validate_without_network()?;
        refuse_other_objective::<O>(&config)?;
        let images = match images {
            Some(images) if run.has_images() => run.choose_images(&images)?,
            Some(images) => images,
            None if run.has_images() => run.images()?,
            None => open_images(&run, &config)?,
        };
        let network = init_network(&config, device, init)?;
        let mut trainer = Self::assemble(config, images, run, device, network)?;
        let has_checkpoint = trainer.restore_newest(saved.training.epochs)?;
        trainer.take_up_results(&saved, has_checkpoint)?;
        trainer.log.complete(&trainer.run, &trainer.config);
        Ok(trainer)
    }

    /// Keeps the results of a run that is finished and has nothing left to do. Those of any other are
    /// removed once everything needed to resume is known to exist: from here on the run is not
    /// finished.
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
        if !self.images.folder.is_there() {
            let (path, images) = (self.run.path().to_path_buf(), self.images.folder.location());
            return Err(match images.is_known() {
                true => TrainerError::ImagesGone { path, images },
                false => TrainerError::ImagesUnknown { path, images },
            });
        }
        if has_results {
            self.run.retire_results()?;
        }
        if self.config != *saved || self.run.is_of_earlier_format()? {
            self.run.write_config(&self.config)?;
            self.run.take_present_format()?;
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

    /// Moves to the place of the newest checkpoint that fits a run of `num_epochs`; `false` where there is
    /// none.
    fn restore_newest(&mut self, num_epochs: usize) -> Result<bool, TrainerError> {
        let folder = self.run.file(CHECKPOINTS);
        let restore = |checkpoint| self.restore(checkpoint, num_epochs);
        let restored = Checkpoint::restore_newest(&folder, restore, |problem| log::warn!("{problem}"))?;
        Ok(restored.is_some())
    }

    /// Takes everything from a checkpoint. One that does not fit the run may be taken in part: another must
    /// follow it.
    fn restore(&mut self, checkpoint: Checkpoint, num_epochs: usize) -> Result<(), String> {
        let Checkpoint { progress, network, velocities, mut state } = checkpoint;
        let Progress { epoch, step, .. } = progress;
        if (epoch, step) > (num_epochs, 0) {
            return Err(format!("it is at epoch {epoch}, step {step}, in a run of {num_epochs} epochs"));
        }
        let place = Place { epoch, step, ..self.place() };
        let words = |error: ModelError| error.to_string();
        for (group, velocities) in &velocities {
            let is_network = group == NETWORK_GROUP;
            check_velocities(velocities, is_network.then_some(&network))?;
        }
        let filled = import_weights(self.network().clone(), network).map_err(words)?;
        let model = O::with_backbone(self.learner.model.clone(), filled);
        self.learner.model = self.objective.load(model, &mut state, place)?;
        let num_steps = if step > 0 { self.objective.plan(place).steps.len() } else { 1 };
        if step >= num_steps {
            return Err(format!("it has done {step} of {num_steps} steps of an epoch"));
        }
        let device = &self.devices[0];
        for group in self.learner.groups_mut() {
            let velocities = velocities.get(group.name).cloned().unwrap_or_default();
            group.optimizer.import(velocities, device);
        }
        self.progress = progress;
        Ok(())
    }
}

/// The images of a run whose first pass has not ended.
fn open_images(run: &RunDirectory, config: &TrainConfig) -> Result<Images, TrainerError> {
    let images = run.location()?;
    if !images.is_known() {
        return Err(TrainerError::ImagesUnknown { path: run.path().to_path_buf(), images });
    }
    Ok(images.open(&config.scan_config())?)
}

/// Checks that velocities are flat, and where the weights are known that they are those of weights.
fn check_velocities(velocities: &NamedWeights, weights: Option<&NamedWeights>) -> Result<(), String> {
    for (name, velocity) in velocities {
        let num_weights = match weights {
            Some(weights) => weights.get(name).map(TensorData::num_elements),
            None => Some(velocity.num_elements()),
        };
        if velocity.shape().len() != 1 || Some(velocity.num_elements()) != num_weights {
            return Err(format!("the momentum of '{name}' is not that of a weight"));
        }
    }
    Ok(())
}
