//! The classifier of pseudo-labels on top of a backbone.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use crate::initialization::WeightInitializer;
use crate::precision::Precision;

/// The last linear layer, one output per cluster. It is reinitialised after every clustering, since the
/// numbers of the clusters have no meaning across epochs (Caron et al., section 3.2).
#[derive(Module, Debug)]
pub struct Head {
    linear: Linear,
}

impl Head {
    /// A new head with weights from `N(0, 0.01)` and bias 0, as in the original code.
    pub fn new(feature_dim: usize, num_clusters: usize, seed: u64, device: &Device) -> Self {
        Self::with_initial(feature_dim, num_clusters, 0.01, 0.0, seed, device)
    }

    /// A new head with weights of a given standard deviation around 0, and every bias `bias`.
    pub fn with_initial(
        feature_dim: usize,
        num_outputs: usize,
        standard_deviation: f64,
        bias: f64,
        seed: u64,
        device: &Device,
    ) -> Self {
        let mut initializer = WeightInitializer::from_seed(seed);
        let weight = initializer.normal([feature_dim, num_outputs], standard_deviation, device);
        let bias = Param::from_tensor(Tensor::full([num_outputs], bias, device));
        Self { linear: linear(weight, bias) }
    }

    /// Scores of the clusters before the softmax, `[batch, num_clusters]`, for inputs `[batch, feature_dim]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        Precision::F32.linear(&self.linear, input)
    }

    /// Number of clusters the head distinguishes.
    pub fn num_clusters(&self) -> usize {
        self.linear.weight.dims()[1]
    }
}

pub(crate) fn linear(weight: Param<Tensor<2>>, bias: Param<Tensor<1>>) -> Linear {
    Linear { weight, bias: Some(bias) }
}
