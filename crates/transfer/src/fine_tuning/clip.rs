//! Clipping of gradients by their norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::error::TransferError;

/// Scales all gradients by the same factor so that their common norm is at most `max_norm`.
pub(super) fn clip_gradients<M: Module>(
    module: &M,
    gradients: GradientsParams,
    max_norm: f64,
) -> Result<GradientsParams, TransferError> {
    let mut squares = SumOfSquares { gradients: &gradients, sum: None };
    module.visit(&mut squares);
    let Some(sum) = squares.sum else { return Ok(gradients) };
    let sum = sum.try_into_scalar::<f32>();
    let norm = f64::from(sum.map_err(|error| TransferError::device("while learning a task", error))?).sqrt();
    if norm <= max_norm {
        return Ok(gradients);
    }
    let mut scaled = Scaled { gradients, factor: max_norm / norm, result: GradientsParams::new() };
    module.visit(&mut scaled);
    Ok(scaled.result)
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squares = (gradient.clone() * gradient).sum();
            self.sum = Some(match self.sum.take() {
                None => squares,
                Some(sum) => sum + squares,
            });
        }
    }
}

struct Scaled {
    gradients: GradientsParams,
    factor: f64,
    result: GradientsParams,
}

impl ModuleVisitor for Scaled {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.result.register(param.id, gradient * self.factor);
        }
    }
}
