//! The fixed Sobel filter before the first convolution.

mod extension;
#[cfg(feature = "flex")]
mod host;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use extension::SobelOps;

/// The kernels of [`sobel`], row by row: horizontal and vertical derivative of a grey image, the order of the
/// original code.
pub const SOBEL_KERNELS: [[f32; 9]; 2] =
    [[1.0, 0.0, -1.0, 2.0, 0.0, -2.0, 1.0, 0.0, -1.0], [1.0, 2.0, 1.0, 0.0, 0.0, 0.0, -1.0, -2.0, -1.0]];

/// Turns RGB images into two planes of image derivatives: the mean of the colours, then a 3x3 Sobel filter in
/// either direction, with zero padding (Caron et al., section 4.1: removes colour and raises local contrast).
///
/// On the CPU in `f32` it is one pass; elsewhere the two linear steps of the original are one convolution.
/// The results differ only by rounding.
///
/// # Shapes
/// - `images`: `[batch, 3, height, width]`
/// - output: `[batch, 2, height, width]`
pub fn sobel(images: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::sobel(images.into_dispatch()))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    use super::*;
    use crate::test_tensors::random;

    #[test]
    fn a_vertical_edge_gives_a_horizontal_derivative_only() {
        // Three equal colour planes, columns 0, 0, 3, 3: inside, (left - right) * (1 + 2 + 1) = -12 at the
        // edge.
        let row = [0.0_f32, 0.0, 3.0, 3.0];
        let plane: Vec<f32> = (0..4).flat_map(|_| row).collect();
        let pixels: Vec<f32> = (0..3).flat_map(|_| plane.clone()).collect();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [1, 3, 4, 4]), &Device::flex());
        let edges = sobel(images).into_data().try_to_vec::<f32>().unwrap();
        assert!((edges[5] - -12.0).abs() < 1e-5 && (edges[6] - -12.0).abs() < 1e-5);
        assert!(edges[16 + 5].abs() < 1e-5 && edges[16 + 6].abs() < 1e-5);
    }

    /// Values and the gradient of the images.
    fn results(shape: [usize; 4], seed: u64, filter: impl Fn(Tensor<4>) -> Tensor<4>) -> [Vec<f32>; 2] {
        let device = Device::flex().autodiff();
        let images = random(shape, seed, &device).require_grad();
        let edges = filter(images.clone());
        let gradients = (edges.clone() * random(edges.dims(), seed + 1, &device)).sum().backward();
        let values = |data: TensorData| data.try_to_vec::<f32>().unwrap();
        [values(edges.into_data()), values(images.grad(&gradients).unwrap().into_data())]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 48,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn it_is_a_convolution(
            batch in 1_usize..4, height in 1_usize..12, width in 1_usize..40, seed in 0_u64..1000,
        ) {
            let weights: Vec<f32> = SOBEL_KERNELS
                .iter()
                .flat_map(|kernel| (0..3).flat_map(|_| kernel.iter().map(|weight| weight / 3.0)))
                .collect();
            let convolution = |images: Tensor<4>| {
                let weights = TensorData::new(weights.clone(), [2, 3, 3, 3]);
                let weights = Tensor::<4>::from_data(weights, &images.device());
                conv2d(images, weights, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1))
            };
            let shape = [batch, 3, height, width];
            let (found, expected) = (results(shape, seed, sobel), results(shape, seed, convolution));
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                prop_assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}
