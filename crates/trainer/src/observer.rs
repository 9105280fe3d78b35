//! What a run reports while it works.

use std::path::PathBuf;

use deepcluster_clustering::IterationStats;

use crate::metrics::{EpochMetrics, EpochTimings};

/// A part of the work whose progress is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Images pass through the network to become features; counted in images.
    Features,
    /// Features become clusters; counted in iterations.
    Clustering,
    /// The network learns the pseudo-labels; counted in images.
    Training,
    /// A network learns a task with labels; counted in steps.
    FineTuning,
    /// A network is tested on a task; counted in images.
    Testing,
    /// Boxes that may hold an object are looked for; counted in images.
    Proposals,
    /// Pictures of filters are found by gradient ascent; counted in steps.
    Pictures,
    /// Images are shrunk to be shown; counted in images.
    Thumbnails,
    /// Images get their places on a map; counted in iterations.
    Map,
}

impl Phase {
    /// A word for progress bars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Clustering => "clustering",
            Self::Training => "training",
            Self::FineTuning => "fine-tuning",
            Self::Testing => "testing",
            Self::Proposals => "proposals",
            Self::Pictures => "pictures",
            Self::Thumbnails => "thumbnails",
            Self::Map => "map",
        }
    }
}

/// Something that happened in a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TrainEvent {
    /// A phase of an epoch begins.
    PhaseStarted {
        /// Which phase.
        phase: Phase,
        /// Epoch, from 0; the last clustering has the number of epochs.
        epoch: usize,
        /// Epochs of the run.
        num_epochs: usize,
        /// Images or iterations the phase will count to.
        total: usize,
    },
    /// A phase has come this far.
    Progress {
        /// Images or iterations done.
        done: usize,
        /// The loss of the last step, in training.
        loss: Option<f64>,
    },
    /// An iteration of clustering is done.
    ClusteringIteration(IterationStats),
    /// An epoch is done and its line is written.
    EpochFinished {
        /// What was measured.
        metrics: Box<EpochMetrics>,
        /// How long it took.
        timings: EpochTimings,
    },
    /// Something the user should know, in plain words.
    Warning(String),
    /// A checkpoint is on disk.
    CheckpointSaved(PathBuf),
}

/// Receives the events of a run, and may stop it.
pub trait TrainObserver {
    /// Called for every event, on the training thread.
    fn event(&mut self, event: &TrainEvent);

    /// Asked after every step; `true` saves a checkpoint and ends the run with
    /// [`TrainerError::Stopped`](crate::TrainerError::Stopped).
    fn should_stop(&self) -> bool {
        false
    }
}

/// Ignores everything.
impl TrainObserver for () {
    fn event(&mut self, _event: &TrainEvent) {}
}
