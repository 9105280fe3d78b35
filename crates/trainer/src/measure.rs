//! The metrics of an epoch: measured when it begins, completed and written when it ends.

use burn::module::Module;
use burn::tensor::Device;
use deepcluster_engine::features::extract;
use deepcluster_engine::{EngineError, EpochClusters, EpochOf, Event, Observer, Place};
use deepcluster_models::{Backbone, LayerId};

use crate::error::TrainerError;
use crate::images::RunImages;
use crate::metrics::{EpochMetrics, epoch_metrics};
use crate::objectives::RunObjective;
use crate::observer::TrainObserver;
use crate::run::checkpoint::Progress;
use crate::settings::config::TrainConfig;
use crate::trainer::Trainer;

/// At most this many images take part in the nearest-neighbour accuracy, evenly spaced over the folder.
const MAX_KNN_IMAGES: usize = 10_000;

impl<O: RunObjective> Trainer<O> {
    /// Writes the clusters of an epoch that begins, and keeps their metrics until it ends.
    pub(crate) fn record(
        &mut self,
        clusters: Option<&EpochClusters>,
        observer: &mut dyn TrainObserver,
    ) -> Result<(), TrainerError> {
        let Progress { epoch, step, .. } = self.progress;
        let folder = &self.images.folder;
        let mut metrics = epoch_metrics(epoch, clusters, folder)?;
        if epoch == 0 || epoch >= self.config.training.epochs {
            let place = EngineError::Stopped { epoch, step };
            let network = self.network().valid();
            let accuracy =
                knn_accuracy(&network, &self.images, &self.config, self.device(), self.epoch_of(), observer)?;
            metrics.knn_accuracy = accuracy.ok_or(place)?;
        }
        if let Some(EpochClusters { clustering, whitening_seconds, clustering_seconds, .. }) = clusters {
            self.run.write_assignments(
                folder,
                clustering.assignments.labels(),
                &clustering.squared_distances,
            )?;
            self.progress.timings.whitening_seconds = *whitening_seconds;
            self.progress.timings.clustering_seconds = *clustering_seconds;
        }
        self.progress.loss_sum = 0.0;
        self.progress.metrics = Some(metrics);
        Ok(())
    }

    /// Completes and writes the metrics of the epoch, and moves to the next.
    pub(crate) fn close_epoch(
        &mut self,
        observer: &mut dyn TrainObserver,
    ) -> Result<EpochMetrics, TrainerError> {
        let (num_steps, loss_sum, timings) =
            (self.progress.step, self.progress.loss_sum, self.progress.timings);
        let metrics = self.progress.metrics.take();
        let mut metrics = metrics.expect("an epoch begins with its numbers");
        if num_steps > 0 {
            metrics.loss = Some(loss_sum / num_steps as f64);
            metrics.measures = self.objective.measures();
        }
        self.progress = Progress { epoch: self.progress.epoch + 1, ..Progress::default() };
        let problem = self.log.add(&self.run, &self.config, &metrics, &timings)?;
        let warnings = self.objective.warnings_of_epoch(&self.run.metrics()?);
        for warning in problem.into_iter().chain(warnings) {
            observer.event(&Event::Warning(warning));
        }
        observer.epoch_finished(&metrics, &timings);
        Ok(metrics)
    }

    /// The place in the run.
    pub(crate) fn place(&self) -> Place {
        let Progress { epoch, step, .. } = self.progress;
        Place { run_seed: self.config.seed, epoch, step, num_images: self.images.folder.len() }
    }

    /// The epoch among those of the run.
    pub(crate) fn epoch_of(&self) -> EpochOf {
        EpochOf { epoch: self.progress.epoch, num_epochs: self.config.training.epochs }
    }
}

/// Leave-one-out nearest-neighbour accuracy of the last maps of `network`, or its features, on images with
/// labels; `None` inside where there are too few, and outside where `observer` asks to stop.
fn knn_accuracy<B: Backbone>(
    network: &B,
    images: &RunImages,
    config: &TrainConfig,
    device: &Device,
    epoch: EpochOf,
    observer: &mut dyn Observer,
) -> Result<Option<Option<f64>>, TrainerError> {
    let num_neighbors = config.training.knn_neighbors;
    let Some(labels) = images.folder.labels().filter(|_| num_neighbors > 0) else { return Ok(Some(None)) };
    let every = images.folder.len().div_ceil(MAX_KNN_IMAGES).max(1);
    let chosen: Vec<usize> = (0..images.folder.len()).step_by(every).collect();
    let pass = images.pass(&chosen, config, device, epoch);
    let Some(extracted) = extract(network, pass, LayerId::last_maps(network), observer)? else {
        return Ok(None);
    };
    let labels: Vec<Option<u32>> =
        extracted.image_indices.iter().map(|&index| labels.of_image[index]).collect();
    if labels.iter().flatten().count() <= num_neighbors {
        return Ok(Some(None));
    }
    let accuracy = deepcluster_evaluation::knn_accuracy(extracted.features.view(), &labels, num_neighbors)?;
    Ok(Some(Some(accuracy)))
}
