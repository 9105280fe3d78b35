//! Scores of linear probes.

use serde::{Deserialize, Serialize};

/// Scores of a layer's probe after a pass over the training images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProbeEpoch {
    /// Pass, from 0.
    pub epoch: usize,
    /// Mean cross-entropy of the pass, in nats.
    pub loss: f64,
    /// Share of the test images whose class scores highest.
    pub top1: f64,
    /// Share of the test images whose class is among the five that score highest.
    pub top5: f64,
}

/// The scores of a layer's probe by epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerCurve {
    /// Name of the layer.
    pub layer: String,
    /// Values of the pooled layer that the classifier sees.
    pub num_values: usize,
    /// Every pass.
    pub epochs: Vec<ProbeEpoch>,
}

impl LayerCurve {
    /// The pass with the best top-1, which papers report; the first of equals.
    pub fn best(&self) -> Option<ProbeEpoch> {
        self.epochs.iter().copied().reduce(|best, next| if next.top1 > best.top1 { next } else { best })
    }

    /// The last pass.
    pub fn last(&self) -> Option<ProbeEpoch> {
        self.epochs.last().copied()
    }
}
