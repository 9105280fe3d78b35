//! Progress events and their observers.

use std::path::PathBuf;

use deepcluster_clustering::IterationStats;

/// A phase of a long computation, with counted progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Name shown in progress bars, such as `features`.
    pub name: &'static str,
    /// Counted unit, in the plural.
    pub unit: &'static str,
}

impl Phase {
    /// A phase that counts images.
    pub const fn images(name: &'static str) -> Self {
        Self { name, unit: "images" }
    }

    /// A phase that counts steps.
    pub const fn steps(name: &'static str) -> Self {
        Self { name, unit: "steps" }
    }

    /// A phase that counts iterations.
    pub const fn iterations(name: &'static str) -> Self {
        Self { name, unit: "iterations" }
    }
}

/// An event of a long computation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A phase begins.
    Started {
        /// The phase.
        phase: Phase,
        /// Epoch, from 0, where there are epochs; a clustering after the last has the number of epochs.
        epoch: Option<EpochOf>,
        /// The number the phase will count to.
        total: usize,
    },
    /// A phase has come this far.
    Progress {
        /// The number counted so far.
        done: usize,
        /// The loss of the last step, in training.
        loss: Option<f64>,
    },
    /// An iteration of clustering is done.
    ClusteringIteration(IterationStats),
    /// A warning to show to the user.
    Warning(String),
    /// A state from which the work can be resumed is on disk, under this path.
    Saved(PathBuf),
}

/// The place of an epoch among those of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochOf {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Epochs of the run.
    pub num_epochs: usize,
}

/// Receives events and may stop the work; `()` ignores everything.
///
/// ```
/// use deepcluster_engine::{Event, Observer};
///
/// struct StopAfter(usize);
///
/// impl Observer for StopAfter {
///     fn event(&mut self, event: &Event) {
///         if let Event::Progress { .. } = event {
///             self.0 = self.0.saturating_sub(1);
///         }
///     }
///
///     fn should_stop(&self) -> bool {
///         self.0 == 0
///     }
/// }
/// ```
pub trait Observer {
    /// Called for every event, on the thread that does the work.
    fn event(&mut self, event: &Event);

    /// Asked after every step; `true` ends the work with an error of the kind `Stopped`.
    fn should_stop(&self) -> bool {
        false
    }
}

impl Observer for () {
    fn event(&mut self, _event: &Event) {}
}
