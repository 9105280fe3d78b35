//! Training a network on a task with labels, step by step, resumable.

mod clip;
mod layers;
mod sgd;
mod steps;
mod training;

pub use layers::FineTunedLayers;
pub(crate) use layers::{Classifier, Trunk, trunk_maps};
pub(crate) use sgd::MAX_STEPS;
pub use sgd::TaskSgd;
pub(crate) use steps::{StepBatches, shuffled_steps};
pub use training::LossPoint;
pub(crate) use training::{TaskRecord, fine_tune};
