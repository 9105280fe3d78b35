//! Observers of a run.

use deepcluster_engine::Observer;

use crate::metrics::{EpochMetrics, EpochTimings};

/// Receives the metrics of a run besides its events, and may stop it; `()` ignores everything.
///
/// A run that is stopped has saved a checkpoint before.
///
/// ```
/// use deepcluster_engine::{Event, Observer};
/// use deepcluster_trainer::{EpochMetrics, EpochTimings, TrainObserver};
///
/// #[derive(Default)]
/// struct Losses(Vec<Option<f64>>);
///
/// impl Observer for Losses {
///     fn event(&mut self, _event: &Event) {}
/// }
///
/// impl TrainObserver for Losses {
///     fn epoch_finished(&mut self, metrics: &EpochMetrics, _timings: &EpochTimings) {
///         self.0.push(metrics.loss);
///     }
/// }
/// ```
pub trait TrainObserver: Observer {
    /// An epoch is done and its line is written.
    fn epoch_finished(&mut self, metrics: &EpochMetrics, timings: &EpochTimings) {
        let _ = (metrics, timings);
    }
}

impl TrainObserver for () {}
