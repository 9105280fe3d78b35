//! The alternating loop of DeepCluster (Caron et al., section 3.2).

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use deepcluster_clustering::{
    Assignments, ClusterModel, Clustering, ClusteringError, ClusteringObserver, IterationStats,
};
use deepcluster_data::{DiskCacheConfig, ImageFolder, Loader, LoaderConfig};
use deepcluster_evaluation::knn_accuracy;
use deepcluster_kernels::release_freed_memory;
use deepcluster_models::{Backbone, ConvNet, Head, ModelError, Precision, export_weights, import_weights};

use crate::checkpoint::{CheckpointWriter, Progress};
use crate::config::TrainConfig;
use crate::epoch_features::{EpochFeatures, WhitenedFeatures};
use crate::error::TrainerError;
use crate::features::{Layer, extract, extract_to};
use crate::health::{warnings_before_training, warnings_of_epoch};
use crate::image_pass::ImagePass;
use crate::metrics::{EpochMetrics, EpochTimings, clustering_metrics};
use crate::observer::{Phase, TrainEvent, TrainObserver};
use crate::out_of_memory::{explained, try_features};
use crate::run_directory::{CHECKPOINTS, RunDirectory};
use crate::seeds::{SeedUse, derive_seed};
use crate::sgd::Sgd;
use crate::tensorboard::{EventFile, History};
use crate::trained_model::{SavedModel, TrainedModel};
use crate::trained_network::{TrainedNetwork, first_failure};

/// At most this many images take part in the nearest-neighbour accuracy, evenly spaced over the folder.
const MAX_KNN_IMAGES: usize = 10_000;

/// Trains a [`Backbone`] on a folder of images, and keeps everything about it in a [`RunDirectory`].
///
/// Every epoch computes the features of all images, whitens and clusters them, gives the network a new head with one
/// output per cluster, and trains both on the clusters as pseudo-labels. After the last epoch the images are
/// clustered once more with the final network, so that the saved centroids belong to the saved weights.
pub struct Trainer<B: Backbone> {
    pub(crate) config: TrainConfig,
    /// The device of everything, and those that compute features and train beside it.
    pub(crate) devices: Vec<Device>,
    pub(crate) run: RunDirectory,
    pub(crate) images: Arc<ImageFolder>,
    loader: Loader,
    /// On a device with autodiff.
    pub(crate) network: B,
    pub(crate) optimizer: Sgd,
    /// That of the running epoch, or of the one before until training begins.
    pub(crate) head: Option<Head>,
    pub(crate) progress: Progress,
    pub(crate) assignments: Option<Assignments>,
    /// Of a finished run that was taken up again.
    pub(crate) results: Option<SavedModel>,
    tensorboard: Tensorboard,
}

/// The event file, which opens with the first epoch that ends.
#[derive(Debug)]
enum Tensorboard {
    Unopened,
    Open(EventFile),
    Off,
}

/// What gives new images the clusters of an epoch, and the matrix it was made from.
struct EpochClusters {
    model: ClusterModel,
    whitened: WhitenedFeatures,
}

impl Trainer<ConvNet> {
    /// Begins a run in the folder `out` with the network that `config` names.
    ///
    /// # Errors
    /// An invalid `config`, fewer images than clusters, or an `out` that is in use or cannot be written.
    pub fn new(
        config: TrainConfig,
        images: ImageFolder,
        out: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, TrainerError> {
        let network = config.network()?;
        let precision = supported_precision(&config, device)?;
        Self::with_backbone(config, images, out, device, |seed, device| {
            Ok(network.init(seed, device)?.with_precision(precision))
        })
    }

    /// Goes on with the run in the folder `out` from its newest checkpoint. `change` may alter the settings that do
    /// not touch what has been done: a larger number of epochs, and everything about speed.
    ///
    /// # Errors
    /// [`TrainerError::ConfigChanged`] for another setting, [`TrainerError::InvalidConfig`] for fewer epochs than have
    /// begun, [`TrainerError::NoUsableCheckpoint`], [`TrainerError::ImagesGone`], [`TrainerError::NotARun`] and
    /// [`TrainerError::RunLocked`].
    pub fn resume(
        out: impl AsRef<Path>,
        device: &Device,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
    ) -> Result<Self, TrainerError> {
        let config = RunDirectory::open(out.as_ref())?.config()?;
        let (network, precision) = (config.network()?, supported_precision(&config, device)?);
        Self::resume_with_backbone(out, device, change, |seed, device| {
            Ok(network.init(seed, device)?.with_precision(precision))
        })
    }
}

impl<B: Backbone> Trainer<B> {
    /// As [`Trainer::new`] for any network: `init` builds it from a seed on a device.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_backbone(
        config: TrainConfig,
        images: ImageFolder,
        out: impl AsRef<Path>,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<B, ModelError>,
    ) -> Result<Self, TrainerError> {
        config.validate()?;
        let num_clusters = config.num_clusters(images.len());
        if images.len() < num_clusters.max(2) {
            let (folder, num_images) = (images.root().to_path_buf(), images.len());
            return Err(TrainerError::TooFewImages { folder, num_images, num_clusters });
        }
        config.check_num_samples(images.len())?;
        let run = RunDirectory::create(out.as_ref(), images.root(), &config)?;
        Self::assemble(config, images, run, device, init)
    }

    pub(crate) fn assemble(
        config: TrainConfig,
        images: ImageFolder,
        run: RunDirectory,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<B, ModelError>,
    ) -> Result<Self, TrainerError> {
        let device = device.clone().without_autodiff();
        let network = init(derive_seed(config.seed, SeedUse::Weights, 0, 0), &device.clone().autodiff())?;
        let training = &config.training;
        let optimizer = Sgd::new(training.learning_rate, training.momentum, training.weight_decay);
        let tensorboard = if training.tensorboard { Tensorboard::Unopened } else { Tensorboard::Off };
        let images = Arc::new(images);
        let loader = Loader::new(images.clone(), config.training_loader_config())?;
        Ok(Self {
            config,
            devices: vec![device],
            run,
            images,
            loader,
            network,
            optimizer,
            head: None,
            progress: Progress::default(),
            assignments: None,
            results: None,
            tensorboard,
        })
    }

    /// Uses these devices beside that of the trainer: each computes the features of some batches, and trains on its part of
    /// every batch. Training then depends on the number of devices: batch normalisation sees the parts.
    pub fn train_beside(mut self, others: impl IntoIterator<Item = Device>) -> Self {
        self.devices.extend(others.into_iter().map(Device::without_autodiff));
        self
    }

    /// The device of everything but what [`Trainer::train_beside`] gives to others.
    pub fn device(&self) -> &Device {
        &self.devices[0]
    }

    /// The settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The images of the run; those that cannot be read leave after the first pass.
    pub fn images(&self) -> &ImageFolder {
        &self.images
    }

    /// The folder of the run.
    pub fn run_directory(&self) -> &RunDirectory {
        &self.run
    }

    /// The network in its present state, on a device with autodiff.
    pub fn network(&self) -> &B {
        &self.network
    }

    /// The epoch the trainer is in, from 0.
    pub fn epoch(&self) -> usize {
        self.progress.epoch
    }

    /// Whether the run is finished: all epochs are done, and its results are on disk and whole.
    pub fn is_finished(&self) -> bool {
        self.results.is_some()
    }

    /// Trains to the last epoch and writes the results; gives the trained network with its clusters. In a run that
    /// [is finished](Self::is_finished) nothing is computed or written again.
    ///
    /// # Errors
    /// [`TrainerError::Stopped`] when `observer` asked for it; a checkpoint is saved then. Otherwise what goes wrong
    /// on the way; the run can be resumed from its last checkpoint.
    pub fn run(mut self, observer: &mut dyn TrainObserver) -> Result<TrainedModel<B>, TrainerError> {
        if let Some(SavedModel { network, head, clusters }) = self.results.take() {
            let network = import_weights(self.network.valid(), network)?;
            let (config, device) = (self.config.clone(), self.device().clone());
            return Ok(TrainedModel::new(TrainedNetwork { config, device, network, head }, clusters));
        }
        while self.progress.epoch < self.config.training.epochs {
            self.step_epoch(observer)?;
        }
        self.finish(observer)
    }

    /// One round of clustering and training, or the rest of one after a resume. Results of a finished run are removed
    /// first.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn step_epoch(&mut self, observer: &mut dyn TrainObserver) -> Result<EpochMetrics, TrainerError> {
        if self.results.take().is_some() {
            self.run.retire_results()?;
        }
        if self.progress.step == 0 {
            self.cluster_epoch(observer)?;
        }
        // Whitening, training and features need blocks of different sizes: what one phase leaves does not serve the
        // next.
        release_freed_memory();
        self.train_epoch(observer)?;
        release_freed_memory();
        let (metrics, timings) = self.close_epoch();
        self.report_epoch(&metrics, timings, observer)?;
        self.save_checkpoint(observer)?;
        Ok(metrics)
    }

    /// Writes and tells the numbers of an epoch.
    fn report_epoch(
        &mut self,
        metrics: &EpochMetrics,
        timings: EpochTimings,
        observer: &mut dyn TrainObserver,
    ) -> Result<(), TrainerError> {
        self.run.append_epoch(metrics, &timings)?;
        if let Err(error) = self.log_to_tensorboard(metrics, &timings) {
            // A picture of the numbers is not worth a training of days.
            self.tensorboard = Tensorboard::Off;
            let warning = format!("the event file of TensorBoard cannot be written, and ends here: {error}");
            observer.event(&TrainEvent::Warning(warning));
        }
        for warning in warnings_of_epoch(&self.config, &self.run.metrics()?) {
            observer.event(&TrainEvent::Warning(warning));
        }
        observer.event(&TrainEvent::EpochFinished { metrics: Box::new(metrics.clone()), timings });
        Ok(())
    }

    fn log_to_tensorboard(&mut self, metrics: &EpochMetrics, timings: &EpochTimings) -> std::io::Result<()> {
        if let Tensorboard::Unopened = self.tensorboard {
            let folder = self.run.file("tensorboard");
            let history = self.history()?;
            self.tensorboard =
                Tensorboard::Open(EventFile::open(&folder, metrics.epoch, &self.config, &history)?);
        }
        match &mut self.tensorboard {
            Tensorboard::Open(file) => file.log_epoch(metrics, timings, self.config.training.learning_rate),
            Tensorboard::Unopened | Tensorboard::Off => Ok(()),
        }
    }

    /// Gives the event file the epochs that it lacks, be it that a power cut took them or that there was none.
    pub(crate) fn complete_event_file(&self) {
        let Tensorboard::Unopened = self.tensorboard else { return };
        let completed = self.history().and_then(|history| {
            let Some(last) = history.metrics.last() else { return Ok(()) };
            EventFile::open(&self.run.file("tensorboard"), last.epoch + 1, &self.config, &history).map(|_| ())
        });
        if let Err(error) = completed {
            log::warn!("the event file of TensorBoard cannot be completed: {error}");
        }
    }

    /// The epochs of the run so far.
    fn history(&self) -> std::io::Result<History> {
        let metrics = self.run.metrics().map_err(std::io::Error::other)?;
        // How long epochs took is the least of what the file tells.
        Ok(History { metrics, timings: self.run.timings().unwrap_or_default() })
    }

    /// Clusters with the final network and writes assignments, features, the numbers, and last of all the model: with
    /// it the run is finished.
    fn finish(mut self, observer: &mut dyn TrainObserver) -> Result<TrainedModel<B>, TrainerError> {
        let epoch = self.progress.epoch;
        let clusters = self.cluster_epoch(observer)?;
        let (metrics, timings) = self.close_epoch();
        let head = self.head.as_ref().map(export_weights).transpose()?;
        let (config, device) = (self.config.clone(), self.device().clone());
        let trained = TrainedNetwork { config, device, network: self.network.valid(), head };
        let model = TrainedModel::new(trained, clusters.model);
        let mark = model.mark(&self.run, epoch)?;
        self.run.save_features(&clusters.whitened.into_matrix()?, &mark)?;
        self.report_epoch(&metrics, timings, observer)?;
        model.save(&self.run, &mark)?;
        Ok(model)
    }

    /// Computes the features of all images and their clusters, and records what they measure.
    fn cluster_epoch(&mut self, observer: &mut dyn TrainObserver) -> Result<EpochClusters, TrainerError> {
        let epoch = self.progress.epoch;
        let start = Instant::now();
        let features = self.features(observer)?;
        let num_images = features.num_rows();
        let features_seconds = start.elapsed().as_secs_f64();

        let start = Instant::now();
        // A GPU may say only now that it could not compute the features.
        let whitened = features.whiten(&self.config.whitening_config());
        let (whitening, whitened) = whitened.map_err(|error| self.explain_features(error.into()))?;
        let whitening_seconds = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let clustering = self.cluster(&whitened, observer)?;
        let clustering_seconds = start.elapsed().as_secs_f64();

        let labels = self.images.labels().map(|labels| labels.of_image.as_slice());
        let previous = self.assignments.as_ref().map(Assignments::labels);
        let num_components = whitening.num_components();
        let mut metrics = clustering_metrics(
            epoch,
            &clustering.assignments,
            previous,
            labels,
            clustering.inertia,
            num_components,
        )?;
        metrics.knn_accuracy = self.knn_accuracy(observer)?;
        self.run.write_assignments(
            &self.images,
            clustering.assignments.labels(),
            &clustering.squared_distances,
        )?;
        self.assignments = Some(clustering.assignments);
        self.progress.loss_sum = 0.0;
        self.progress.metrics = Some(metrics);
        let timings = &mut self.progress.timings;
        *timings = Default::default();
        timings.epoch = epoch;
        timings.features_seconds = features_seconds;
        timings.whitening_seconds = whitening_seconds;
        timings.clustering_seconds = clustering_seconds;
        timings.features_images_per_second = num_images as f64 / features_seconds;
        let model = ClusterModel { whitening: Some(whitening), centroids: clustering.centroids };
        Ok(EpochClusters { model, whitened })
    }

    /// Features of all images. The first pass of a run finds the images that cannot be read and drops them.
    fn features(&mut self, observer: &mut dyn TrainObserver) -> Result<EpochFeatures, TrainerError> {
        let all: Vec<usize> = (0..self.images.len()).collect();
        let feature_type = self.config.training.feature_type;
        let feature_dim = self.network.feature_dim();
        let mut features = EpochFeatures::new(self.device(), feature_type, all.len(), feature_dim);
        let network = self.network.valid();
        let failures = extract_to(&mut features, &network, &self.devices[1..], self.pass(&all), observer)
            .map_err(|error| self.explain_features(error))?;
        let failures = failures.ok_or(self.stopped())?;
        if !self.run.has_images() {
            self.settle_images(&failures, observer)?;
        } else if let Some((image_index, reason)) = failures.into_iter().next() {
            return Err(TrainerError::ImageVanished { path: self.images.path(image_index), reason });
        }
        Ok(features)
    }

    /// An error of the feature pass; where memory was lacking, what would have fitted.
    fn explain_features(&self, error: TrainerError) -> TrainerError {
        let asked = self.config.training.feature_batch_size;
        explained(error, "training.feature_batch_size", asked, self.device(), |batch| {
            try_features(&self.network, batch, self.device())
        })
    }

    /// Fixes the list of images for the whole run, without those that cannot be read.
    fn settle_images(
        &mut self,
        failures: &[(usize, String)],
        observer: &mut dyn TrainObserver,
    ) -> Result<(), TrainerError> {
        let mut images = (*self.images).clone();
        images.exclude(failures);
        let folder = images.root().to_path_buf();
        if images.is_empty() {
            let reason = first_failure(&self.images, failures);
            return Err(TrainerError::NoReadableImage { folder, num_files: failures.len(), reason });
        }
        let num_clusters = self.config.num_clusters(images.len());
        if images.len() < num_clusters {
            return Err(TrainerError::TooFewImages { folder, num_images: images.len(), num_clusters });
        }
        for skipped in images.skipped() {
            log::warn!("skipped {}: {}", skipped.path.display(), skipped.reason);
        }
        if !images.skipped().is_empty() {
            let warning = format!(
                "{} file(s) could not be read and are skipped; skipped.csv names them, first {}: {}",
                images.skipped().len(),
                images.skipped()[0].path.display(),
                images.skipped()[0].reason
            );
            observer.event(&TrainEvent::Warning(warning));
        }
        for warning in warnings_before_training(&self.config, images.len(), num_clusters) {
            observer.event(&TrainEvent::Warning(warning));
        }
        self.run.write_images(&images)?;
        if !failures.is_empty() {
            self.images = Arc::new(images);
            self.loader = Loader::new(self.images.clone(), self.config.training_loader_config())?;
        }
        Ok(())
    }

    fn cluster(
        &self,
        whitened: &WhitenedFeatures,
        observer: &mut dyn TrainObserver,
    ) -> Result<Clustering, TrainerError> {
        let epoch = self.progress.epoch;
        let num_clusters = self.config.num_clusters(whitened.num_rows());
        self.announce(observer, Phase::Clustering, self.config.clustering.num_iterations);
        let algorithm = self.config.clustering_config(num_clusters).init()?;
        let seed = derive_seed(self.config.seed, SeedUse::Clustering, epoch, 0);
        let clustering = whitened.cluster(algorithm.as_ref(), seed, &mut ForwardIterations { observer });
        clustering.map_err(|error| match error {
            ClusteringError::Cancelled => TrainerError::Stopped { epoch, step: 0 },
            error => error.into(),
        })
    }

    /// Nearest-neighbour accuracy of the last convolution, for the first and the last network of a labelled folder.
    fn knn_accuracy(&self, observer: &mut dyn TrainObserver) -> Result<Option<f64>, TrainerError> {
        let num_neighbors = self.config.training.knn_neighbors;
        let is_first_or_last = self.progress.epoch == 0 || self.progress.epoch >= self.config.training.epochs;
        let Some(labels) = self.images.labels().filter(|_| is_first_or_last && num_neighbors > 0) else {
            return Ok(None);
        };
        let every = self.images.len().div_ceil(MAX_KNN_IMAGES).max(1);
        let chosen: Vec<usize> = (0..self.images.len()).step_by(every).collect();
        let extracted = extract(&self.network.valid(), self.pass(&chosen), Layer::Convolutions, observer)?;
        let extracted = extracted.ok_or(self.stopped())?;
        let labels: Vec<Option<u32>> =
            extracted.image_indices.iter().map(|&index| labels.of_image[index]).collect();
        if labels.iter().flatten().count() <= num_neighbors {
            return Ok(None);
        }
        Ok(Some(knn_accuracy(extracted.features.view(), &labels, num_neighbors)?))
    }

    /// A pass over some images for their features.
    fn pass<'a>(&'a self, image_indices: &[usize]) -> ImagePass<'a> {
        let mut pass = ImagePass::for_features(&self.config, &self.loader, image_indices, self.device());
        pass.epoch = (self.progress.epoch, self.config.training.epochs);
        pass
    }

    /// A stop between two steps: nothing has changed since the checkpoint at the end of the epoch before.
    fn stopped(&self) -> TrainerError {
        let Progress { epoch, step, .. } = self.progress;
        TrainerError::Stopped { epoch, step }
    }

    /// Finishes the numbers of the epoch and moves to the next.
    fn close_epoch(&mut self) -> (EpochMetrics, EpochTimings) {
        let mut metrics = self.progress.metrics.take().expect("every epoch begins with its clustering");
        let num_steps = self.progress.step;
        if num_steps > 0 {
            metrics.loss = Some(self.progress.loss_sum / num_steps as f64);
            metrics.num_samples = self.config.num_samples(metrics.num_images);
        }
        let timings = self.progress.timings;
        self.progress = Progress { epoch: self.progress.epoch + 1, ..Progress::default() };
        (metrics, timings)
    }

    pub(crate) fn announce(&self, observer: &mut dyn TrainObserver, phase: Phase, total: usize) {
        let (epoch, num_epochs) = (self.progress.epoch, self.config.training.epochs);
        observer.event(&TrainEvent::PhaseStarted { phase, epoch, num_epochs, total });
    }

    pub(crate) fn loader(&self) -> &Loader {
        &self.loader
    }

    pub(crate) fn save_checkpoint(&self, observer: &mut dyn TrainObserver) -> Result<(), TrainerError> {
        let mut writer = CheckpointWriter::begin(&self.run.file(CHECKPOINTS), &self.progress)?;
        writer.network(&export_weights(&self.network)?)?;
        writer.velocities(&self.optimizer.export()?)?;
        if let Some(head) = &self.head {
            writer.head(&export_weights(head)?)?;
        }
        if let Some(assignments) = &self.assignments {
            writer.assignments(assignments)?;
        }
        let path = writer.finish()?;
        observer.event(&TrainEvent::CheckpointSaved(path));
        Ok(())
    }
}

/// The precision that is asked for, where the device has it.
fn supported_precision(config: &TrainConfig, device: &Device) -> Result<Precision, TrainerError> {
    let precision = config.training.precision;
    if precision.is_supported(device) {
        return Ok(precision);
    }
    Err(TrainerError::InvalidConfig {
        field: "training.precision".to_string(),
        value: "bf16".to_string(),
        allowed: "this device does not compute with bfloat16: f32".to_string(),
    })
}

struct ForwardIterations<'a> {
    observer: &'a mut dyn TrainObserver,
}

impl ClusteringObserver for ForwardIterations<'_> {
    fn iteration(&mut self, stats: &IterationStats) -> ControlFlow<()> {
        self.observer.event(&TrainEvent::ClusteringIteration(stats.clone()));
        self.observer.event(&TrainEvent::Progress { done: stats.iteration + 1, loss: None });
        if self.observer.should_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl TrainConfig {
    /// How the folder of images is scanned.
    pub fn scan_config(&self) -> deepcluster_data::ScanConfig {
        deepcluster_data::ScanConfig { labels: self.data.labels.clone() }
    }

    /// How images are loaded in training, which comes back to each in every epoch.
    fn training_loader_config(&self) -> LoaderConfig {
        let disk_cache = self.data.disk_cache.as_ref().map(|folder| DiskCacheConfig {
            folder: folder.clone(),
            max_bytes: self.data.disk_cache_mib.saturating_mul(1 << 20),
        });
        LoaderConfig { disk_cache, ..self.loader_config() }
    }

    /// How images are loaded once the network has been trained.
    pub fn loader_config(&self) -> LoaderConfig {
        LoaderConfig {
            num_workers: self.data.num_workers,
            prefetch_batches: self.data.prefetch_batches,
            cache_bytes: self.data.cache_mib.saturating_mul(1 << 20),
            disk_cache: None,
            shrink_to: self.data.shrink_to.map(|side| side as u32),
            max_pixels: self.data.max_pixels,
        }
    }

    /// Images drawn per epoch.
    pub(crate) fn num_samples(&self, num_images: usize) -> usize {
        ((self.training.epochs_per_clustering * num_images as f64) as usize).max(1)
    }
}
