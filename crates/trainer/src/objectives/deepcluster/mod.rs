//! DeepCluster (Caron, Bojanowski, Joulin and Douze, ECCV 2018): clusters of the features are the labels of
//! an epoch.

mod classifier;
pub(crate) mod clustering;
pub(crate) mod config;
mod health;
mod objective;
mod pseudo_labels;

pub use classifier::{Classifier, training_step};
pub use config::{DeepClusterConfig, Sampling};
pub use objective::DeepCluster;
