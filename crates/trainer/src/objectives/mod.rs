//! The objectives a run can have.

pub(crate) mod config;
pub(crate) mod deepcluster;
pub(crate) mod nat;

use deepcluster_engine::{Learner, Objective};
use deepcluster_models::NamedWeights;

use crate::error::TrainerError;
use crate::metrics::EpochMetrics;
use crate::settings::config::TrainConfig;

/// An objective that a [`Trainer`](crate::Trainer) can begin from the settings of a run.
pub trait RunObjective: Objective + Sized {
    /// The objective, and the learner of everything it trains, around `network`, on the device of the network
    /// with autodiff.
    ///
    /// # Errors
    /// Settings that do not fit together.
    fn create(
        config: &TrainConfig,
        network: Self::Backbone,
    ) -> Result<(Self, Learner<Self::Model>), TrainerError>;

    /// Warnings to show before training on `num_images` images.
    fn warnings_before_training(&self, num_images: usize) -> Vec<String> {
        let _ = num_images;
        Vec::new()
    }

    /// Warnings to show after the last epoch of `history`, the epochs of the run so far.
    fn warnings_of_epoch(&self, history: &[EpochMetrics]) -> Vec<String> {
        let _ = history;
        Vec::new()
    }

    /// The weights of a classifier of clusters on the features, where the model has one.
    ///
    /// # Errors
    /// Those of reading the device.
    fn head(model: &Self::Model) -> Result<Option<NamedWeights>, TrainerError> {
        let _ = model;
        Ok(None)
    }
}
