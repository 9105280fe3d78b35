//! The settings of NAT.

use serde::{Deserialize, Serialize};

/// Settings of NAT; the defaults are those of the paper's code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatConfig {
    /// Dimensions of the sphere the targets lie on, 2 to 65,536.
    pub target_dim: usize,
    /// Targets are exchanged in every so many epochs, the first among them; at least 1.
    pub exchange_every: usize,
    /// Constant step size of SGD on the loss summed over a batch, more than 0. There is no momentum and no
    /// weight decay.
    pub learning_rate: f64,
}

impl Default for NatConfig {
    fn default() -> Self {
        Self { target_dim: 2048, exchange_every: 3, learning_rate: 0.01 }
    }
}
