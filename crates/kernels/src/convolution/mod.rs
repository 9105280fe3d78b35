//! Convolution of images, faster on the CPU than Burn's own and with gradients that are.

#[cfg(feature = "flex")]
mod direct;
mod extension;
#[cfg(feature = "flex")]
mod host;
#[cfg(feature = "flex")]
mod patches;
#[cfg(feature = "flex")]
mod shape;
#[cfg(feature = "flex")]
mod tasks;
#[cfg(feature = "flex")]
mod winograd;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::pooling::Pooling;
use extension::ConvolutionOps;

/// Convolution `[batch, channels_in, h, w]` with `weight` `[channels_out, channels_in, kernel_h, kernel_w]`
/// and `bias` `[channels_out]`, in steps of `stride` over images padded by `padding` zeros on each side,
/// without groups or dilation: `[batch, channels_out, h', w']` with
/// `h' = (h + 2 padding - kernel_h) / stride + 1`.
///
/// On the CPU in `f32`, convolutions of 3 x 3 and 5 x 5 pixels in steps of one between many channels take
/// fewer multiplications (Lavin & Gray, CVPR 2016), and their rounding errors are a few times those of a
/// plain sum; others multiply matrices of image patches. Gradients are computed in the same form as the maps,
/// and the bits do not depend on the number of threads. Elsewhere it is Burn's convolution.
///
/// # Panics
/// Where the shapes do not fit together, as Burn's.
pub fn conv2d(
    images: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    let (images, weight, bias) = (images.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::convolve(images, weight, bias, stride, padding))
}

/// ReLU and max-pooling of [`conv2d`]; where no gradient is required, without a pass of their own on the
/// CPU.
///
/// # Panics
/// As [`conv2d`], and where a window is larger than the maps.
pub fn conv2d_relu_pool(
    images: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: [usize; 2],
    padding: [usize; 2],
    pooling: Pooling,
) -> Tensor<4> {
    let (images, weight, bias) = (images.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::convolve_relu_pool(images, weight, bias, stride, padding, pooling))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use burn::tensor::Device;
    use burn::tensor::activation::relu;
    use burn::tensor::module::conv2d as of_burn;
    use burn::tensor::module::max_pool2d;
    use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
    use proptest::prelude::*;

    use super::*;
    use crate::test_tensors::random;

    /// Value and gradients by images, weights and bias of a sum with weights of its own.
    fn value_and_gradients(
        shape: [usize; 4],
        weight_shape: [usize; 4],
        convolve: impl Fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>,
        seed: u64,
    ) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let images = random(shape, seed, &device).require_grad();
        let weight = random(weight_shape, seed + 1, &device).require_grad();
        let bias = random([weight_shape[0]], seed + 2, &device).require_grad();
        let maps = convolve(images.clone(), weight.clone(), bias.clone());
        let weights = random(maps.dims(), seed + 3, &device);
        let gradients = (maps.clone() * weights).sum().backward();
        let values = |data: burn::tensor::TensorData| data.try_to_vec::<f32>().unwrap();
        [
            values(maps.into_data()),
            values(images.grad(&gradients).unwrap().into_data()),
            values(weight.grad(&gradients).unwrap().into_data()),
            values(bias.grad(&gradients).unwrap().into_data()),
        ]
    }

    fn assert_agrees(
        shape: [usize; 4],
        weight_shape: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
        seed: u64,
    ) {
        let ours = |images, weight, bias| conv2d(images, weight, bias, stride, padding);
        let theirs = |images, weight, bias| {
            of_burn(images, weight, Some(bias), ConvOptions::new(stride, padding, [1, 1], 1))
        };
        let found = value_and_gradients(shape, weight_shape, ours, seed);
        let expected = value_and_gradients(shape, weight_shape, theirs, seed);
        for (name, (found, expected)) in
            ["value", "images", "weights", "bias"].iter().zip(found.iter().zip(&expected))
        {
            assert_eq!(found.len(), expected.len());
            let scale = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
            for (a, b) in found.iter().zip(expected) {
                assert!(
                    (a - b).abs() <= 1e-4 * scale,
                    "{name} of {shape:?} by {weight_shape:?}: {a} is not {b}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 96,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn values_and_gradients_are_those_of_burn(
            batch in 1_usize..6, channels_in in 1_usize..5, channels_out in 1_usize..9,
            height in 1_usize..20, width in 1_usize..20, kernel_h in 1_usize..6, kernel_w in 1_usize..6,
            stride_h in 1_usize..4, stride_w in 1_usize..4, pad_h in 0_usize..3,
            pad_w in 0_usize..3, seed in 0_u64..1000,
        ) {
            prop_assume!(kernel_h <= height + 2 * pad_h && kernel_w <= width + 2 * pad_w);
            let shape = [batch, channels_in, height, width];
            let weight_shape = [channels_out, channels_in, kernel_h, kernel_w];
            assert_agrees(shape, weight_shape, [stride_h, stride_w], [pad_h, pad_w], seed);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn many_channels_agree_too(
            batch in 1_usize..6, channels_in in 16_usize..40, channels_out in 16_usize..70,
            is_wide in any::<bool>(),
            height in 1_usize..20, width in 1_usize..20, pad_h in 0_usize..4, pad_w in 0_usize..4,
            seed in 0_u64..1000,
        ) {
            let kernel = if is_wide { 5 } else { 3 };
            prop_assume!(kernel <= height + 2 * pad_h && kernel <= width + 2 * pad_w);
            let shape = [batch, channels_in, height, width];
            assert_agrees(shape, [channels_out, channels_in, kernel, kernel], [1, 1], [pad_h, pad_w], seed);
        }
    }

    #[test]
    fn layers_of_alexnet_agree() {
        assert_agrees([3, 2, 64, 64], [96, 2, 11, 11], [4, 4], [2, 2], 1);
        assert_agrees([9, 96, 27, 27], [256, 96, 5, 5], [1, 1], [2, 2], 2);
        assert_agrees([40, 96, 13, 13], [128, 96, 3, 3], [1, 1], [1, 1], 3);
        assert_agrees([1, 16, 60, 50], [16, 16, 3, 3], [1, 1], [1, 1], 4);
    }

    #[test]
    fn relu_and_pooling_follow_the_convolution() {
        for (channels, pooling) in
            [(3, Pooling { size: 3, stride: 2 }), (17, Pooling { size: 2, stride: 2 }), (17, Pooling::NONE)]
        {
            let device = Device::flex();
            let (images, weight) =
                (random([4, channels, 9, 8], 1, &device), random([20, channels, 3, 3], 2, &device));
            let bias = random([20], 3, &device);
            let apart = relu(conv2d(images.clone(), weight.clone(), bias.clone(), [1, 1], [1, 1]));
            let mut options = MaxPoolOptions::new([pooling.size; 2]);
            options.stride = [pooling.stride; 2];
            let apart = max_pool2d(apart, options);
            let fused = conv2d_relu_pool(images, weight, bias, [1, 1], [1, 1], pooling);
            assert_eq!(fused.into_data(), apart.into_data());
        }
    }

    #[test]
    fn bits_are_the_same_for_any_number_of_threads() {
        for channels in [6, 18] {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let convolve = |images, weight, bias| conv2d(images, weight, bias, [1, 1], [1, 1]);
                let shape = [13, channels, 19, 17];
                pool.install(|| value_and_gradients(shape, [20, channels, 3, 3], convolve, 5))
            };
            assert_eq!(run(1), run(3));
            assert_eq!(run(1), run(2));
        }
    }
}
