//! One step of stochastic gradient descent in one pass over the weights.

mod extension;
#[cfg(feature = "flex")]
mod host;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use extension::SgdOps;

/// Factors of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdFactors {
    /// Step size.
    pub learning_rate: f64,
    /// Part of the velocity that is kept.
    pub momentum: f64,
    /// Part of the weights that is added to their gradient.
    pub weight_decay: f64,
}

/// New weights and velocities: `v = momentum * v + gradient + weight_decay * w` and
/// `w = w - learning_rate * v`, all tensors of one shape and without autodiff. Without velocities they begin
/// at 0.
///
/// On the CPU in `f32` the results take the memory of the weights and velocities, where nothing else holds
/// it.
///
/// # Panics
/// Where the shapes differ.
pub fn sgd_step<const D: usize>(
    weights: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    factors: SgdFactors,
) -> (Tensor<D>, Tensor<D>) {
    let shape = weights.shape();
    assert_eq!(shape, gradient.shape(), "a gradient has the shape of its weights");
    let (weights, gradient) = (weights.into_dispatch(), gradient.into_dispatch());
    let (weights, velocity) = match velocity {
        Some(velocity) => {
            assert_eq!(shape, velocity.shape(), "velocities have the shape of their weights");
            Dispatch::sgd_step(weights, gradient, velocity.into_dispatch(), factors)
        }
        None => Dispatch::first_sgd_step(weights, gradient, factors),
    };
    (Tensor::from_dispatch(weights), Tensor::from_dispatch(velocity))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    use super::*;
    use crate::test_tensors::random;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 32,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn steps_are_those_of_the_formula(
            rows in 1_usize..50, columns in 1_usize..50, momentum in 0.0..1.0, decay in 0.0..0.1,
            rate in 0.0..1.0,
            has_velocity in any::<bool>(), is_transposed in any::<bool>(), seed in 0_u64..1000,
        ) {
            let device = Device::flex();
            let gradient = if is_transposed {
                random([columns, rows], seed, &device).transpose()
            } else {
                random([rows, columns], seed, &device)
            };
            let weights = random([rows, columns], seed + 1, &device);
            let velocity = has_velocity.then(|| random([rows, columns], seed + 2, &device));
            let factors = SgdFactors { learning_rate: rate, momentum, weight_decay: decay };
            let mut update = gradient.clone() + weights.clone() * decay;
            if let Some(velocity) = &velocity {
                update = update + velocity.clone() * momentum;
            }
            let expected = weights.clone() - update.clone() * rate;
            // Another owner of a tensor keeps its values.
            let kept = (weights.clone(), velocity.clone());
            let before = kept.clone();
            let (weights, velocity) = sgd_step(weights, gradient, velocity, factors);
            let values =
                |tensor: Tensor<2>| -> Vec<f32> { TensorData::try_to_vec(&tensor.into_data()).unwrap() };
            for (found, expected) in [(weights, expected), (velocity, update)] {
                for (found, expected) in values(found).into_iter().zip(values(expected)) {
                    prop_assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                }
            }
            prop_assert_eq!(values(kept.0), values(before.0));
        }
    }
}
