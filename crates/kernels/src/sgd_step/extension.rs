//! The step as a backend extension.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::Scalar;

use super::SgdFactors;

/// Steps of stochastic gradient descent; the defaults are Burn's operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff,
)]
pub(super) trait SgdOps: Backend {
    /// New weights and velocities.
    #[fusion(default)]
    fn sgd_step(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        factors: SgdFactors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let kept = Self::float_mul_scalar(velocity, Scalar::from(factors.momentum));
        of_burn::<Self>(weights, Self::float_add(gradient, kept), factors)
    }

    /// The first step, from velocities of 0.
    #[fusion(default)]
    fn first_sgd_step(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: SgdFactors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        of_burn::<Self>(weights, gradient, factors)
    }
}

fn of_burn<B: Backend>(
    weights: FloatTensor<B>,
    gradient: FloatTensor<B>,
    factors: SgdFactors,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let decay = B::float_mul_scalar(weights.clone(), Scalar::from(factors.weight_decay));
    let velocity = B::float_add(gradient, decay);
    let change = B::float_mul_scalar(velocity.clone(), Scalar::from(factors.learning_rate));
    (B::float_sub(weights, change), velocity)
}

#[cfg(feature = "gpu")]
impl SgdOps for burn_cubecl::CubeBackend {}

/// Optimisers work on tensors without autodiff; on others it is a computation like any.
impl<B: SgdOps, C: CheckpointStrategy> SgdOps for Autodiff<B, C> {}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::DType;

    use super::super::{SgdFactors, host};
    use super::{SgdOps, of_burn};
    use crate::host::flex_values::{packed, sizes, tensor, values, values_mut};

    impl SgdOps for Flex {
        fn sgd_step(
            weights: FlexTensor,
            gradient: FlexTensor,
            velocity: FlexTensor,
            factors: SgdFactors,
        ) -> (FlexTensor, FlexTensor) {
            if [&weights, &gradient, &velocity].iter().any(|tensor| tensor.dtype() != DType::F32) {
                let kept = Self::float_mul_scalar(velocity, factors.momentum.into());
                return of_burn::<Self>(weights, Self::float_add(gradient, kept), factors);
            }
            let [mut weights, gradient, mut velocity] = [weights, gradient, velocity].map(packed);
            host::step(values_mut(&mut weights), values(&gradient), values_mut(&mut velocity), factors);
            (weights, velocity)
        }

        fn first_sgd_step(
            weights: FlexTensor,
            gradient: FlexTensor,
            factors: SgdFactors,
        ) -> (FlexTensor, FlexTensor) {
            if weights.dtype() != DType::F32 || gradient.dtype() != DType::F32 {
                return of_burn::<Self>(weights, gradient, factors);
            }
            let sizes = sizes(&weights);
            let velocity = tensor(vec![0.0; sizes.iter().product()], sizes);
            Self::sgd_step(weights, gradient, velocity, factors)
        }
    }
}
