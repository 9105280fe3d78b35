//! The loop over the epochs of a run, for any objective.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use deepcluster_clustering::{ClusterModel, Rows};
use deepcluster_data::Images;
use deepcluster_engine::features::GatheredFeatures;
use deepcluster_engine::{
    Course, EngineError, Epoch, EpochSteps, Event, Learner, Objective, Observer, explain_features,
};
use deepcluster_kernels::release_freed_memory;
use deepcluster_models::{Network, import_weights};

use crate::error::TrainerError;
use crate::images::RunImages;
use crate::metrics::{EpochMetrics, EpochTimings};
use crate::objectives::RunObjective;
use crate::objectives::deepcluster::DeepCluster;
use crate::objectives::deepcluster::clustering::{ImageClusters, cluster_images};
use crate::observer::TrainObserver;
use crate::run::checkpoint::{Progress, save_checkpoint};
use crate::run::directory::RunDirectory;
use crate::run::layout::CHECKPOINTS;
use crate::run::log::EpochLog;
use crate::run::saved_model::SavedModel;
use crate::settings::config::TrainConfig;
use crate::trained::model::TrainedModel;
use crate::trained::network::TrainedNetwork;

/// Trains a network for an [`Objective`] on images, and keeps everything about it in a
/// [`RunDirectory`].
///
/// Every epoch is prepared by the objective and trained step by step. After the last the features of all
/// images are whitened and clustered with the final network, whatever the objective was: the saved centroids
/// belong to the saved weights.
///
/// ```no_run
/// use deepcluster_data::Images;
/// use deepcluster_trainer::{TrainConfig, Trainer, parse_device};
///
/// # fn main() -> Result<(), deepcluster_trainer::TrainerError> {
/// let images = Images::open("photos")?;
/// let trainer = Trainer::new(TrainConfig::default(), images, "run", &parse_device("auto")?)?;
/// let model = trainer.run(&mut ())?;
/// println!("{} clusters", model.clusters().centroids.nrows());
/// # Ok(())
/// # }
/// ```
pub struct Trainer<O: Objective = DeepCluster<Network>> {
    pub(crate) config: TrainConfig,
    /// The main device, and those that compute features and train beside it.
    pub(crate) devices: Vec<Device>,
    pub(crate) run: RunDirectory,
    pub(crate) images: RunImages,
    pub(crate) objective: O,
    /// On a device with autodiff.
    pub(crate) learner: Learner<O::Model>,
    pub(crate) progress: Progress,
    /// Those of a finished run that was taken up again.
    pub(crate) results: Option<SavedModel>,
    pub(crate) log: EpochLog,
}

impl<O: RunObjective> Trainer<O> {
    /// Uses these devices beside that of the trainer: each computes the features of some batches, and trains
    /// on its part of every batch. Training then depends on the number of devices: batch normalisation sees
    /// the parts.
    pub fn train_beside(mut self, others: impl IntoIterator<Item = Device>) -> Self {
        self.devices.extend(others.into_iter().map(Device::without_autodiff));
        self
    }

    /// The device of all work that is not split.
    pub fn device(&self) -> &Device {
        &self.devices[0]
    }

    /// The settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The images of the run; those that cannot be read leave after the first pass.
    pub fn images(&self) -> &Images {
        &self.images.folder
    }

    /// The folder of the run.
    pub fn run_directory(&self) -> &RunDirectory {
        &self.run
    }

    /// The network in its present state, on a device with autodiff.
    pub fn network(&self) -> &O::Backbone {
        O::backbone(&self.learner.model)
    }

    /// The epoch the trainer is in, from 0.
    pub fn epoch(&self) -> usize {
        self.progress.epoch
    }

    /// Whether the run is finished: all epochs are done, and its results are on disk and whole.
    pub fn is_finished(&self) -> bool {
        self.results.is_some()
    }

    /// Trains to the last epoch and writes the results; returns the trained network with its clusters. In a
    /// run that [is finished](Self::is_finished) nothing is computed or written again.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] on request of `observer`, after saving a checkpoint. After any other
    /// error the run can be resumed from its last checkpoint.
    pub fn run(
        mut self,
        observer: &mut dyn TrainObserver,
    ) -> Result<TrainedModel<O::Backbone>, TrainerError> {
        if let Some(SavedModel { network, head, clusters }) = self.results.take() {
            let network = import_weights(self.network().valid(), network)?;
            let (config, device) = (self.config.clone(), self.device().clone());
            return Ok(TrainedModel::new(TrainedNetwork { config, device, network, head }, clusters));
        }
        while self.progress.epoch < self.config.training.epochs {
            self.step_epoch(observer)?;
        }
        self.finish(observer)
    }

    /// One epoch, or the rest of one after a resume. Results of a finished run are removed first.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn step_epoch(&mut self, observer: &mut dyn TrainObserver) -> Result<EpochMetrics, TrainerError> {
        if self.results.take().is_some() {
            self.run.retire_results()?;
        }
        if self.progress.step == 0 {
            self.begin_epoch(observer)?;
        }
        // Whitening, training and features need blocks of different sizes: memory freed by one phase does not
        // serve the next.
        release_freed_memory();
        self.train_epoch(observer)?;
        release_freed_memory();
        let metrics = self.close_epoch(observer)?;
        let folder = self.run.file(CHECKPOINTS);
        save_checkpoint(&folder, &self.progress, &self.objective, &self.learner, observer)?;
        Ok(metrics)
    }

    fn begin_epoch(&mut self, observer: &mut dyn TrainObserver) -> Result<(), TrainerError> {
        let needs_features = self.objective.needs_features(self.progress.epoch) || !self.run.has_images();
        self.progress.timings = EpochTimings { epoch: self.progress.epoch, ..EpochTimings::default() };
        let features = if needs_features { Some(self.features(observer)?) } else { None };
        let mut epoch = Epoch {
            place: self.place(),
            num_epochs: self.config.training.epochs,
            device: &self.devices[0],
            observer,
        };
        let clusters = self.objective.begin_epoch(&mut self.learner, features, &mut epoch);
        // A GPU may report only now that it could not compute the features.
        let clusters = clusters.map_err(|error| self.explain(error))?;
        self.record(clusters.as_ref(), observer)
    }

    fn train_epoch(&mut self, observer: &mut dyn TrainObserver) -> Result<(), TrainerError> {
        let start = Instant::now();
        let mut course = Course { place: self.place(), loss_sum: self.progress.loss_sum };
        let Self { config, devices, run, images, objective, learner, progress, .. } = self;
        let steps = EpochSteps {
            objective: &*objective,
            learner,
            devices,
            loader: &images.loader,
            batch_size: config.training.batch_size,
            num_epochs: config.training.epochs,
            checkpoint_steps: config.training.checkpoint_steps,
        };
        let mut save = |learner: &Learner<O::Model>, course: &Course, observer: &mut dyn Observer| {
            (progress.step, progress.loss_sum) = (course.place.step, course.loss_sum);
            save_checkpoint(&run.file(CHECKPOINTS), progress, &*objective, learner, observer)
        };
        let trained = steps.run(&mut course, &mut save, observer)?;
        (self.progress.step, self.progress.loss_sum) = (course.place.step, course.loss_sum);
        let seconds = start.elapsed().as_secs_f64();
        self.progress.timings.training_seconds = seconds;
        self.progress.timings.training_images_per_second = trained.num_trained as f64 / seconds;
        if let Some(metrics) = &mut self.progress.metrics {
            metrics.num_samples = trained.num_samples;
        }
        Ok(())
    }

    /// Clusters with the final network and writes assignments, features, the numbers, and last of all the
    /// model: with it the run is finished.
    fn finish(mut self, observer: &mut dyn TrainObserver) -> Result<TrainedModel<O::Backbone>, TrainerError> {
        let epoch = self.progress.epoch;
        self.progress.timings = EpochTimings { epoch, ..EpochTimings::default() };
        let features = self.features(observer)?;
        let (place, num_epochs) = (self.place(), self.config.training.epochs);
        let mut last = Epoch { place, num_epochs, device: &self.devices[0], observer };
        let objective = &self.config.objective;
        let made = cluster_images(features, objective.whitening(), objective.clustering(), &mut last)
            .map_err(|error| self.explain(error))?;
        let ImageClusters { mut clusters, whitening, whitened } = made;
        clusters.previous = self.objective.assignments().cloned();
        self.record(Some(&clusters), observer)?;
        let head = O::head(&self.learner.model)?;
        let (config, device) = (self.config.clone(), self.device().clone());
        let trained = TrainedNetwork { config, device, network: self.network().valid(), head };
        let centroids = clusters.clustering.centroids;
        let model = TrainedModel::new(trained, ClusterModel { whitening: Some(whitening), centroids });
        let mark = model.mark(&self.run, epoch)?;
        self.run.save_features(whitened.as_ref(), &mark)?;
        self.close_epoch(observer)?;
        model.save(&self.run, &mark)?;
        Ok(model)
    }

    /// Features of all images. The first pass of a run finds the images that cannot be read and drops them.
    fn features(&mut self, observer: &mut dyn TrainObserver) -> Result<Box<dyn Rows>, TrainerError> {
        let start = Instant::now();
        let network = O::backbone(&self.learner.model);
        let epoch = self.epoch_of();
        let gathered = self.images.features(network, &self.config, &self.devices, epoch, observer)?;
        let GatheredFeatures { rows: features, failures } = gathered;
        if !self.run.has_images() {
            self.images.settle(&failures, &self.config, &self.run, observer)?;
            for warning in self.objective.warnings_before_training(self.images.folder.len()) {
                observer.event(&Event::Warning(warning));
            }
        } else if let Some((image_index, reason)) = failures.into_iter().next() {
            let path = self.images.folder.place(image_index).into();
            return Err(EngineError::ImageVanished { path, reason }.into());
        }
        let timings = &mut self.progress.timings;
        timings.features_seconds = start.elapsed().as_secs_f64();
        timings.features_images_per_second = features.num_rows() as f64 / timings.features_seconds;
        Ok(features)
    }

    /// An error at the beginning of an epoch; when out of memory, with the batch that fits.
    fn explain(&self, error: EngineError) -> TrainerError {
        let batch_size = self.config.training.feature_batch_size;
        explain_features(error, self.network(), batch_size, self.device()).into()
    }
}
