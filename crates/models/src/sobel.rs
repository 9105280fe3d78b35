//! The fixed Sobel stage in front of the network.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};

/// The kernels of [`sobel`], row by row: horizontal and vertical derivative of a grey image, the order of the original
/// code.
pub const SOBEL_KERNELS: [[f32; 9]; 2] =
    [[1.0, 0.0, -1.0, 2.0, 0.0, -2.0, 1.0, 0.0, -1.0], [1.0, 2.0, 1.0, 0.0, 0.0, 0.0, -1.0, -2.0, -1.0]];

/// Turns RGB images into two planes of image derivatives: the mean of the colours, then a 3x3 Sobel filter in either
/// direction, with zero padding (Caron et al., section 4.1: removes colour and raises local contrast).
///
/// The two linear steps of the original are one convolution here; the result differs only by rounding.
///
/// # Shapes
/// - `images`: `[batch, 3, height, width]`
/// - output: `[batch, 2, height, width]`
pub fn sobel(images: Tensor<4>) -> Tensor<4> {
    let mut weights = Vec::with_capacity(2 * 3 * 9);
    for kernel in SOBEL_KERNELS {
        for _colour in 0..3 {
            weights.extend(kernel.iter().map(|weight| weight / 3.0));
        }
    }
    let weights = Tensor::<4>::from_data(TensorData::new(weights, [2, 3, 3, 3]), &images.device());
    // Images may come in any precision.
    let weights = weights.cast(images.dtype());
    conv2d(images, weights, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_vertical_edge_gives_a_horizontal_derivative_only() {
        // Three equal colour planes, columns 0, 0, 3, 3: inside, (left - right) * (1 + 2 + 1) = -12 at the edge.
        let row = [0.0_f32, 0.0, 3.0, 3.0];
        let plane: Vec<f32> = (0..4).flat_map(|_| row).collect();
        let pixels: Vec<f32> = (0..3).flat_map(|_| plane.clone()).collect();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [1, 3, 4, 4]), &Device::flex());
        let edges = sobel(images).into_data().try_to_vec::<f32>().unwrap();
        assert!((edges[5] - -12.0).abs() < 1e-5 && (edges[6] - -12.0).abs() < 1e-5);
        assert!(edges[16 + 5].abs() < 1e-5 && edges[16 + 6].abs() < 1e-5);
    }
}
