//! The settings of NAT.

use deepcluster_clustering::WhiteningConfig;

use crate::settings::clustering::ClusteringSettings;
use crate::settings::config::MAX_EPOCHS;
use crate::settings::limits::{integers, positive};
use crate::settings::schema::settings;

settings! {
    /// Settings of NAT; the defaults are those of the paper's code.
    pub struct NatConfig {
        /// Constant step size of SGD on the loss summed over a batch; no momentum, no weight decay
        learning_rate: f64 = 0.01 => positive(),
        /// Dimensions of the sphere the targets lie on
        target_dim: usize = 2048 => integers(2, 1 << 16),
        /// Targets are exchanged in every so many epochs, the first among them
        exchange_every: usize = 3 => integers(1, MAX_EPOCHS),
        /// Whitening of the features before they are clustered
        whitening: WhiteningConfig,
        /// Clusters
        clustering: ClusteringSettings,
    }
}
