//! The settings of DeepCluster.

use std::ops::Bound::{Excluded, Included};

use deepcluster_clustering::WhiteningConfig;
use serde::{Deserialize, Serialize};

use crate::settings::clustering::ClusteringSettings;
use crate::settings::limits::{floats, positive};
use crate::settings::schema::settings;

settings! {
    /// Settings of DeepCluster; the defaults are those of the original code.
    pub struct DeepClusterConfig {
        /// Constant step size of SGD
        learning_rate: f64 = 0.05 => positive(),
        /// Momentum of the network's SGD; the head has none
        momentum: f64 = 0.9 => floats(0.0..1.0),
        /// L2 penalty on all weights
        weight_decay: f64 = 1e-5 => floats(0.0..),
        /// Passes over the data between two clusterings; fractions are allowed
        epochs_per_clustering: f64 = 1.0 => floats((Excluded(0.0), Included(10_000.0))),
        /// Images that a pass draws: every cluster equally often, as the original code does it, or every
        /// image once
        sampling: Sampling = Sampling::Uniform,
        /// Whitening of the features before they are clustered
        whitening: WhiteningConfig,
        /// Clusters
        clustering: ClusteringSettings,
    }
}

/// Which images an epoch trains on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every cluster equally often (section 3.3, avoiding trivial parametrization).
    Uniform,
    /// The sampler of the original code, whose indices are shifted against its data set, so that clusters are
    /// not drawn equally often.
    Misaligned,
    /// Every image once, whatever its cluster.
    Shuffle,
}

impl DeepClusterConfig {
    /// Images drawn per epoch.
    pub(crate) fn num_samples(&self, num_images: usize) -> usize {
        ((self.epochs_per_clustering * num_images as f64) as usize).max(1)
    }
}
