//! Stochastic gradient descent with momentum and weight decay.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_kernels::{SgdFactors, sgd_step};
use deepcluster_models::{WeightMap, map_weights, on_the_host};

use crate::error::EngineError;
use crate::learner::take_weights;

/// SGD as PyTorch defines it, without dampening:
///
/// ```text
/// g = gradient + weight_decay * w      v = momentum * v + g      w = w - learning_rate * v
/// ```
///
/// The velocities are kept by the name of their weight, so that they can be saved and restored whatever
/// identifiers the module has been given.
#[derive(Debug)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: f64,
    /// Part of the velocity that is kept, in `[0, 1)`.
    pub momentum: f64,
    /// Part of the weights that is added to their gradient.
    pub weight_decay: f64,
    velocities: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// Starts with velocities of 0.
    pub fn new(learning_rate: f64, momentum: f64, weight_decay: f64) -> Self {
        Self { learning_rate, momentum, weight_decay, velocities: BTreeMap::new() }
    }

    /// The same settings with velocities of 0.
    pub fn without_velocities(&self) -> Self {
        Self::new(self.learning_rate, self.momentum, self.weight_decay)
    }

    /// One step; weights without a gradient stay as they are.
    pub fn step<M: Module>(&mut self, module: M, mut gradients: GradientsParams) -> M {
        map_weights(module, &mut Step { sgd: self, gradients: &mut gradients })
    }

    /// As [`step`](Self::step) for a module that stays where it is, and whose weights nothing else holds: the
    /// new ones take their memory. Weights that are held by a clone would be copied first.
    pub fn step_in_place<M: Module>(&mut self, module: &mut M, gradients: GradientsParams) {
        let whole = take_weights(module);
        *module = self.step(whole, gradients);
    }

    /// One step of the weights `name`; without a gradient they stay as they are.
    pub(crate) fn update<const D: usize>(
        &mut self,
        name: &str,
        param: Param<Tensor<D>>,
        gradients: &mut GradientsParams,
    ) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(gradient) = gradients.remove::<D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let weights = tensor.without_autodiff();
        let shape = weights.shape();
        let factors = SgdFactors {
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
        };
        let velocity = self.velocities.remove(name).map(|velocity| velocity.reshape(shape));
        let (weights, velocity) = sgd_step(weights, gradient, velocity, factors);
        if self.momentum != 0.0 {
            self.velocities.insert(name.to_string(), velocity.flatten(0, D - 1));
        }
        let weights = Tensor::from_inner(weights).set_require_grad(true);
        Param::from_mapped_value(id, weights, mapper)
    }

    /// The velocities on the host, flat, by the names of their weights.
    ///
    /// # Errors
    /// [`EngineError::Device`] when the device cannot be read.
    pub fn export(&self) -> Result<BTreeMap<String, TensorData>, EngineError> {
        let export = |(name, velocity): (&String, &Tensor<1>)| {
            let data = velocity.clone().try_into_data();
            let data = data.map_err(|error| EngineError::device("while momentum was read", error))?;
            Ok((name.clone(), on_the_host(data)?))
        };
        self.velocities.iter().map(export).collect()
    }

    /// Replaces the velocities by those of [`export`](Self::export).
    pub fn import(&mut self, velocities: BTreeMap<String, TensorData>, device: &Device) {
        let import = |(name, data)| (name, Tensor::from_data(data, device));
        self.velocities = velocities.into_iter().map(import).collect();
    }
}

struct Step<'a> {
    sgd: &'a mut Sgd,
    gradients: &'a mut GradientsParams,
}

impl WeightMap for Step<'_> {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.sgd.update(name, param, self.gradients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepcluster_models::Head;
    use deepcluster_models::export_weights;

    /// Two steps on the loss `sum(w)` (gradient 1) with weight decay 0.1, momentum 0.5 and rate 0.1, by hand:
    /// w0 = 2: g = 1.2, v = 1.2, w1 = 1.88; g = 1.188, v = 1.788, w2 = 1.7012.
    #[test]
    fn two_steps_follow_the_formula() {
        let device = Device::flex().autodiff();
        let mut weights = export_weights(&Head::new(1, 1, 0, &device)).unwrap();
        for data in weights.values_mut() {
            let shape = data.shape().clone();
            *data = TensorData::new(vec![2.0_f32], shape);
        }
        let mut head = deepcluster_models::import_weights(Head::new(1, 1, 0, &device), weights).unwrap();
        let mut sgd = Sgd::new(0.1, 0.5, 0.1);
        for _ in 0..2 {
            let loss = head.forward(Tensor::ones([1, 1], &device)).sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &head);
            head = sgd.step(head, gradients);
        }
        for data in export_weights(&head).unwrap().values() {
            let value = data.clone().try_to_vec::<f32>().unwrap()[0];
            assert!((value - 1.7012).abs() < 1e-5, "{value}");
        }
        assert_eq!(sgd.export().unwrap().len(), 2);
    }
}
