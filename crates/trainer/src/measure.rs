//! The numbers of an epoch: measured when it begins, completed and written when it ends.

use burn::module::Module;
use deepcluster_engine::{EngineError, EpochClusters, Event};

use crate::error::TrainerError;
use crate::metrics::{EpochMetrics, epoch_metrics, knn_accuracy};
use crate::objectives::RunObjective;
use crate::observer::TrainObserver;
use crate::run::checkpoint::Progress;
use crate::trainer::Trainer;

impl<O: RunObjective> Trainer<O> {
    /// Writes the clusters of an epoch that begins, and keeps what they measure until it ends.
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

    /// Finishes the numbers of the epoch, writes them, and moves to the next.
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
}
