//! Convolution on the CPU, in the form that is the fastest for its sizes.

use super::shape::{ConvShape, Epilogue};
use super::{direct, winograd};

/// Maps `[batch, channels_out, h', w']` of images, weights and biases.
pub(super) fn convolve(
    images: &[f32],
    weight: &[f32],
    bias: &[f32],
    shape: &ConvShape,
    epilogue: Epilogue,
) -> Vec<f32> {
    let convolve = if winograd::fits(shape) { winograd::convolve } else { direct::convolve };
    convolve(images, weight, bias, shape, epilogue)
}

/// The gradient of the images from that of the maps.
pub(super) fn image_gradient(weight: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    let gradient = if winograd::fits(shape) { winograd::image_gradient } else { direct::image_gradient };
    gradient(weight, of_maps, shape)
}

/// The gradient of the weights from that of the maps.
pub(super) fn weight_gradient(images: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    let gradient = if winograd::fits(shape) { winograd::weight_gradient } else { direct::weight_gradient };
    gradient(images, of_maps, shape)
}
