//! Fully connected layer, faster on the CPU than Burn's own for few rows and large weights.

mod extension;
#[cfg(feature = "flex")]
mod host;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use extension::LinearOps;

/// `input * weight + bias`, `[batch, outputs]`, of `[batch, inputs]`, `[inputs, outputs]` and `[outputs]`.
///
/// On the CPU in `f32` the weights are read once for each pass, forward and backward, and the bits do not
/// depend on the number of threads. Elsewhere it is Burn's layer.
///
/// # Panics
/// Where the shapes do not fit together, as Burn's.
pub fn linear(input: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    assert_eq!(input.dims()[1], weight.dims()[0], "the weights have a row for each input");
    assert_eq!(bias.dims()[0], weight.dims()[1], "there is a bias for each output");
    let (input, weight, bias) = (input.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fully_connected(input, weight, bias))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use burn::tensor::module::linear as of_burn;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    use super::*;
    use crate::test_tensors::random;

    /// Value, and gradients by input, weight and bias of a sum with weights of its own.
    fn results([batch, inputs, outputs]: [usize; 3], seed: u64, ours: bool) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let input = random([batch, inputs], seed, &device).require_grad();
        let weight = random([inputs, outputs], seed + 1, &device).require_grad();
        let bias = random([outputs], seed + 2, &device).require_grad();
        let found = if ours {
            linear(input.clone(), weight.clone(), bias.clone())
        } else {
            of_burn(input.clone(), weight.clone(), Some(bias.clone()))
        };
        let weights = random([batch, outputs], seed + 3, &device);
        let gradients = (found.clone() * weights).sum().backward();
        let values = |data: TensorData| data.try_to_vec::<f32>().unwrap();
        [
            values(found.into_data()),
            values(input.grad(&gradients).unwrap().into_data()),
            values(weight.grad(&gradients).unwrap().into_data()),
            values(bias.grad(&gradients).unwrap().into_data()),
        ]
    }

    fn assert_agrees(sizes: [usize; 3], seed: u64) {
        let (found, expected) = (results(sizes, seed, true), results(sizes, seed, false));
        for (name, (found, expected)) in
            ["value", "input", "weight", "bias"].iter().zip(found.iter().zip(&expected))
        {
            assert_eq!(found.len(), expected.len());
            let scale = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() <= 1e-4 * scale, "{name} of {sizes:?}: {a} is not {b}");
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
            batch in 1_usize..40, inputs in 1_usize..90, outputs in 1_usize..200, seed in 0_u64..1000,
        ) {
            assert_agrees([batch, inputs, outputs], seed);
        }
    }

    #[test]
    fn many_inputs_and_outputs_agree() {
        assert_agrees([33, 700, 900], 1);
        assert_agrees([1, 2000, 65], 2);
    }

    #[test]
    fn bits_are_the_same_for_any_number_of_threads() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| results([13, 300, 230], 5, true))
        };
        assert_eq!(run(1), run(3));
        assert_eq!(run(1), run(2));
    }
}
