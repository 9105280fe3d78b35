//! Batch normalisation by the statistics of the batch, the ReLU after it and the max-pooling after that, in
//! one.

mod extension;
#[cfg(feature = "flex")]
mod host;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::pooling::Pooling;
use extension::BatchNormReluOps;

/// Result of [`batch_norm_relu`].
#[derive(Debug, Clone)]
pub struct BatchNormRelu {
    /// `relu(gamma (x - mean) / sqrt(variance + epsilon) + beta)`, the largest of each window of the pooling.
    pub output: Tensor<4>,
    /// Of each channel over the batch, `[channels]`; no gradient flows through it.
    pub mean: Tensor<1>,
    /// As the mean; divided by the number of values, not by one less.
    pub variance: Tensor<1>,
}

/// Normalises `[batch, channels, h, w]` by the mean and variance of each channel over the batch (Ioffe &
/// Szegedy, 2015), scales by `gamma` and shifts by `beta`, `[channels]` each, sets what is below 0 to 0, and
/// takes the largest of each window of `pooling`:
/// `[batch, channels, (h - size) / stride + 1, (w - size) / stride + 1]`.
///
/// On the CPU in `f32` nothing is kept for the gradients but the input, and sums are in `f64` and do not
/// depend on the number of threads. The gradient of a window goes to the first of its largest values.
/// Elsewhere it is Burn's batch normalisation, ReLU and max-pooling.
///
/// # Panics
/// Where the shapes do not fit together, as Burn's, or a window is larger than the maps.
pub fn batch_norm_relu(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    pooling: Pooling,
) -> BatchNormRelu {
    let (input, gamma, beta) = (input.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let (output, mean, variance) = Dispatch::batch_norm_relu(input, gamma, beta, epsilon, pooling);
    BatchNormRelu {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use burn::tensor::activation::relu;
    use burn::tensor::module::{batch_norm_train, max_pool2d};
    use burn::tensor::ops::MaxPoolOptions;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    use super::*;
    use crate::test_tensors::random;

    const EPSILON: f64 = 1e-5;

    /// Output, mean, variance, and gradients by input, gamma and beta of a sum with weights of its own.
    fn results(shape: [usize; 4], pooling: Pooling, offset: f32, seed: u64, ours: bool) -> [Vec<f32>; 6] {
        let device = Device::flex().autodiff();
        let input = (random(shape, seed, &device) + offset).require_grad();
        let gamma = random([shape[1]], seed + 1, &device).require_grad();
        let beta = random([shape[1]], seed + 2, &device).require_grad();
        let found = if ours {
            batch_norm_relu(input.clone(), gamma.clone(), beta.clone(), EPSILON, pooling)
        } else {
            let normalized = batch_norm_train(input.clone(), gamma.clone(), beta.clone(), EPSILON);
            let (mean, variance) = (normalized.mean, normalized.variance);
            let mut options = MaxPoolOptions::new([pooling.size; 2]);
            options.stride = [pooling.stride; 2];
            BatchNormRelu { output: max_pool2d(relu(normalized.output), options), mean, variance }
        };
        let weights = random(found.output.dims(), seed + 3, &device);
        let gradients = (found.output.clone() * weights).sum().backward();
        let values = |data: TensorData| data.try_to_vec::<f32>().unwrap();
        [
            values(found.output.into_data()),
            values(found.mean.into_data()),
            values(found.variance.into_data()),
            values(input.grad(&gradients).unwrap().into_data()),
            values(gamma.grad(&gradients).unwrap().into_data()),
            values(beta.grad(&gradients).unwrap().into_data()),
        ]
    }

    fn assert_agrees(shape: [usize; 4], pooling: Pooling, offset: f32, seed: u64) {
        let found = results(shape, pooling, offset, seed, true);
        let expected = results(shape, pooling, offset, seed, false);
        let names = ["output", "mean", "variance", "input", "gamma", "beta"];
        for (name, (found, expected)) in names.iter().zip(found.iter().zip(&expected)) {
            assert_eq!(found.len(), expected.len());
            let scale = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() <= 1e-4 * scale, "{name} of {shape:?}: {a} is not {b}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn values_and_gradients_are_those_of_burn(
            batch in 1_usize..6, channels in 1_usize..7, height in 1_usize..12, width in 1_usize..30,
            size in 1_usize..4, stride in 1_usize..4, offset in -3.0_f32..3.0, seed in 0_u64..1000,
        ) {
            // Of very few values the deviation can be next to nothing, and its inverse anything.
            prop_assume!(batch * height * width >= 8);
            prop_assume!(size <= height && size <= width);
            assert_agrees([batch, channels, height, width], Pooling { size, stride }, offset, seed);
        }
    }

    #[test]
    fn bits_are_the_same_for_any_number_of_threads() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| results([11, 7, 9, 5], Pooling { size: 3, stride: 2 }, 0.5, 3, true))
        };
        assert_eq!(run(1), run(3));
        assert_eq!(run(1), run(2));
    }

    #[test]
    fn constant_channels_stay_finite() {
        let device = Device::flex().autodiff();
        let input = Tensor::<4>::full([4, 2, 3, 3], 7.0, &device).require_grad();
        let (gamma, beta) = (Tensor::<1>::ones([2], &device), Tensor::<1>::full([2], 0.25, &device));
        let found = batch_norm_relu(input.clone(), gamma, beta, EPSILON, Pooling::NONE);
        let gradients = found.output.clone().sum().backward();
        let output: Vec<f32> = found.output.into_data().try_to_vec().unwrap();
        assert!(output.iter().all(|&value| value == 0.25));
        let gradient: Vec<f32> = input.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        assert!(gradient.iter().all(|value| value.abs() < 1e-3));
    }
}
