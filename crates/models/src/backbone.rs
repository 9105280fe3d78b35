//! Requirements on a network.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Tensor, activation};

use crate::dropout::DropoutMasks;

/// A convolutional network whose features DeepCluster clusters and trains.
///
/// [`ConvNet`](crate::ConvNet) is the implementation for AlexNet and VGG-16. To train another network,
/// implement this trait for any Burn module and pass it to the trainer.
///
/// # Panics
/// As every Burn module, an implementation may panic on tensors of a wrong shape. The trainer only feeds it
/// batches of `[batch, 3, input_size, input_size]`.
pub trait Backbone: Module + ModuleDisplay {
    /// Side of the square input images in pixels.
    fn input_size(&self) -> usize;

    /// Number of columns of the features.
    fn feature_dim(&self) -> usize;

    /// The features that are clustered: the last layer below the head, before its ReLU.
    ///
    /// In training mode (a device with autodiff) batch normalisation uses batch statistics and `dropout`
    /// draws the masks; in inference mode pass [`DropoutMasks::off`].
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, input_size, input_size]`, normalised RGB
    /// - output: `[batch, feature_dim]`
    fn forward_features(&self, images: Tensor<4>, dropout: &DropoutMasks) -> Tensor<2>;

    /// Input of the head: the features after the ReLU that clustering leaves out.
    fn head_input(&self, features: Tensor<2>) -> Tensor<2> {
        activation::relu(features)
    }

    /// The output of the convolutional part, after its last pooling.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, input_size, input_size]`
    /// - output: `[batch, channels, height, width]`
    fn forward_convolutions(&self, images: Tensor<4>) -> Tensor<4>;

    /// Names of the layers that [`forward_taps`](Backbone::forward_taps) returns, first to last.
    fn tap_names(&self) -> Vec<String>;

    /// The activations of every named layer (after its ReLU, before pooling), for probes and pictures.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, input_size, input_size]`
    /// - outputs: `[batch, channels, height, width]` each, in the order of [`tap_names`](Backbone::tap_names)
    fn forward_taps(&self, images: Tensor<4>) -> Vec<Tensor<4>>;
}
