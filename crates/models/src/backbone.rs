//! Requirements on a network.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::convnet::parts::MapGeometry;
use crate::input::Input;
use crate::layer::LayerInfo;
use crate::pass::Pass;

/// A network that makes features of images.
///
/// [`Network`](crate::Network) is the implementation of this crate. To train another network, implement this
/// trait for any Burn module and pass it to the trainer. Nothing here presupposes convolutions.
///
/// # Panics
/// As every Burn module, an implementation may panic on tensors of a wrong shape. The trainer only feeds it
/// batches of `[batch, 3, side, side]` with the side of its [`input`](Self::input).
pub trait Backbone: Module + ModuleDisplay {
    /// The name that runs and messages show; by default that of the type.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>();
        path.split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or(path).to_string()
    }

    /// The square of an image that the network sees, and how its values are normalised. Settings of a run
    /// must agree with it, but for the size to which an image is resized before.
    fn input(&self) -> &Input;

    /// Number of columns of the features.
    fn feature_dim(&self) -> usize;

    /// The features that are clustered: the last layer below the head, before any ReLU.
    ///
    /// In training (a device with autodiff) batch normalisation uses batch statistics; dropout is that of
    /// `pass`.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, side, side]`, normalised RGB
    /// - output: `[batch, feature_dim]`
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2>;

    /// Input of the head, `[batch, feature_dim]`: by default the features after a ReLU that clustering
    /// leaves out.
    fn head_input(&self, features: Tensor<2>) -> Tensor<2> {
        activation::relu(features)
    }

    /// The layers that [`activations`](Self::activations) knows, in the order in which an image passes them.
    /// Names are unique; the last layer is that of the features.
    fn layers(&self) -> Vec<LayerInfo>;

    /// The activations of these layers at inference, in the order of `layers`.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, side, side]`, normalised RGB
    /// - outputs: those of the [kind](crate::LayerKind) of each layer
    ///
    /// # Panics
    /// For a name that is not among [`layers`](Self::layers); [`LayerId::find`](crate::LayerId::find) checks
    /// one.
    fn activations(&self, images: Tensor<4>, layers: &[&str]) -> Vec<Activation>;
}

/// A backbone with maps, whose layers after the maps can be applied to any part of an image: what detection,
/// segmentation and the other tasks with fine-tuned layers need.
///
/// This is a trait of its own, not a trait object behind a method of [`Backbone`]: the tasks train the
/// network within modules of their own, and modules of Burn are cloned and consumed.
pub trait DenseBackbone: Backbone {
    /// The last maps before their pooling, `[batch, channels, h, w]`, of images of any size.
    fn maps(&self, images: Tensor<4>) -> Tensor<4>;

    /// The pooling of the last maps.
    fn pool(&self, maps: Tensor<4>) -> Tensor<4>;

    /// The last maps after their pooling, `[batch, channels, h', w']`, of images of any size.
    fn pooled_maps(&self, images: Tensor<4>) -> Tensor<4> {
        self.pool(self.maps(images))
    }

    /// Side of the pooled maps that [`features_of_pooled`](Self::features_of_pooled) takes.
    fn pooled_side(&self) -> usize;

    /// Features `[batch, feature_dim]` of pooled maps `[batch, channels, side, side]`.
    fn features_of_pooled(&self, pooled: Tensor<4>, pass: &Pass) -> Tensor<2>;

    /// Features for every place of pooled maps `[batch, channels, h, w]`, `[batch, feature_dim, h, w]`.
    fn dense_features(&self, pooled: Tensor<4>, pass: &Pass) -> Tensor<4>;

    /// Where the cells of [`maps`](Self::maps) lie in the image.
    fn map_geometry(&self) -> MapGeometry;

    /// Where the places of [`dense_features`](Self::dense_features) lie in the image.
    fn dense_geometry(&self) -> MapGeometry;

    /// Whether the weight of this name belongs to the layers after the maps.
    fn is_after_maps(&self, weight: &str) -> bool;

    /// The network with the layers after the maps drawn anew from `seed`, every bias `bias`.
    fn with_new_layers_after_maps(self, seed: u64, bias: f64, device: &Device) -> Self;

    /// The network on a device with autodiff and with fixed statistics of batch normalisation; `learns`
    /// tells, by its name, which weight moves.
    fn for_fine_tuning(self, learns: impl Fn(&str) -> bool) -> Self;
}

/// Description of a network, which a run keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// [`Backbone::name`].
    pub name: String,
    /// Side of the square input in pixels.
    pub side: usize,
    /// Number of columns of the features.
    pub feature_dim: usize,
    /// Number of weights, statistics of batch normalisation included.
    pub num_parameters: usize,
    /// [`Backbone::layers`].
    pub layers: Vec<LayerInfo>,
}

impl NetworkInfo {
    /// The description of `network`.
    pub fn new<B: Backbone>(network: &B) -> Self {
        Self {
            name: network.name(),
            side: network.input().side,
            feature_dim: network.feature_dim(),
            num_parameters: Module::num_params(network),
            layers: network.layers(),
        }
    }
}
