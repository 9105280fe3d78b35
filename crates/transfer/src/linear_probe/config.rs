//! Settings of linear probes.

use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};

/// Settings of linear probes. The defaults are those of the original's `eval_linear.py`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearProbeConfig {
    /// Passes over the training images, at least 1.
    pub epochs: usize,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// First step size of SGD, more than 0. In step `t` it is
    /// `learning_rate / sqrt(1 + learning_rate * weight_decay * t)`.
    pub learning_rate: f64,
    /// Momentum, in `[0, 1)`.
    pub momentum: f64,
    /// Weight decay, at least 0; 1e-4, and 1e-7 in the script that came with it.
    pub weight_decay: f64,
    /// Whether a test image is judged by the mean of ten crops, or by its central one.
    pub ten_crops: bool,
    /// Names of the layers to probe; all where empty.
    pub layers: Vec<String>,
    /// The one seed of heads, order and crops.
    pub seed: u64,
}

impl Default for LinearProbeConfig {
    fn default() -> Self {
        Self {
            epochs: 90,
            batch_size: 256,
            learning_rate: 0.01,
            momentum: 0.9,
            weight_decay: 1e-4,
            ten_crops: false,
            layers: Vec::new(),
            seed: 31,
        }
    }
}

impl LinearProbeConfig {
    /// Checks every field but the names of the layers, which only a network knows.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), TransferError> {
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        check_settings([
            ("epochs", self.epochs.to_string(), (1..=100_000).contains(&self.epochs), "1 to 100000"),
            ("batch_size", self.batch_size.to_string(), self.batch_size > 0, "at least 1"),
            ("learning_rate", rate.to_string(), rate > 0.0 && rate.is_finite(), "more than 0"),
            ("momentum", self.momentum.to_string(), (0.0..1.0).contains(&self.momentum), "0 to below 1"),
            ("weight_decay", decay.to_string(), decay >= 0.0 && decay.is_finite(), "at least 0"),
        ])
    }

    pub(super) fn learning_rate_at(&self, step: usize) -> f64 {
        self.learning_rate / (1.0 + self.learning_rate * self.weight_decay * step as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_size_falls_as_in_the_original() {
        let config =
            LinearProbeConfig { learning_rate: 0.01, weight_decay: 1e-4, ..LinearProbeConfig::default() };
        assert_eq!(config.learning_rate_at(0), 0.01);
        // 1 + 0.01 * 1e-4 * 3,000,000 = 4.
        assert!((config.learning_rate_at(3_000_000) - 0.005).abs() < 1e-12);
    }
}
