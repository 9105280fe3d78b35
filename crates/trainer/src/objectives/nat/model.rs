//! The network with the layer that leads to the sphere.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use deepcluster_models::{Backbone, Head, Pass};

/// A network and a linear layer from its features to the space of the targets.
#[derive(Module, Debug)]
pub struct NatModel<B: Backbone> {
    /// Makes the features.
    pub network: B,
    /// `[feature_dim, target_dim]` with a bias.
    pub projection: Head,
}

impl<B: Backbone> NatModel<B> {
    /// With weights of the standard deviation of Torch's default, uniform in `+-1 / sqrt(feature_dim)`.
    pub(crate) fn new(network: B, target_dim: usize, seed: u64, device: &Device) -> Self {
        let projection = projection(network.feature_dim(), target_dim, seed, device);
        Self { network, projection }
    }

    /// Points of the unit sphere, `[batch, target_dim]`, of `images`, `[batch, 3, size, size]`.
    pub(crate) fn forward(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let features = self.network.features(images, pass);
        let output = self.projection.forward(self.network.head_input(features));
        let norms = output.clone().powf_scalar(2.0).sum_dim(1).sqrt().clamp_min(1e-12);
        output / norms
    }
}

/// A new projection.
pub(crate) fn projection(feature_dim: usize, target_dim: usize, seed: u64, device: &Device) -> Head {
    let deviation = (1.0 / (3.0 * feature_dim as f64)).sqrt();
    Head::with_initial(feature_dim, target_dim, deviation, 0.0, seed, device)
}
