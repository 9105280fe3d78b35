//! Batch normalisation with the running variance of PyTorch.

use burn::module::{Flag, Module, Param, RunningState};
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};
use deepcluster_kernels::{Pooling, batch_norm_relu};

const MOMENTUM: f64 = 0.1;

/// Batch normalisation over `[batch, channels, height, width]` (Ioffe & Szegedy, 2015).
///
/// As Burn's `BatchNorm`, with one difference: the running variance takes the unbiased variance of the batch,
/// as PyTorch's does, so that networks move between the two without a change.
///
/// It normalises by the batch on a device with autodiff and by the running statistics elsewhere.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    training: Param<Flag>,
}

impl BatchNorm2d {
    /// Summand of the variance before its square root, as in PyTorch.
    pub const EPSILON: f64 = 1e-5;

    /// Scale 1, shift 0, running mean 0 and variance 1 for `num_channels` channels.
    pub fn new(num_channels: usize, device: &Device) -> Self {
        Self {
            gamma: Param::from_tensor(Tensor::ones([num_channels], device)),
            beta: Param::from_tensor(Tensor::zeros([num_channels], device)),
            running_mean: RunningState::new(Tensor::zeros([num_channels], device)),
            running_var: RunningState::new(Tensor::ones([num_channels], device)),
            training: Param::from_bool(true),
        }
    }

    /// Normalises `input` and, in training, moves the running statistics by a tenth towards those of the
    /// batch.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        if self.is_training(&input.device()) {
            let num_values = num_values_of_channel(&input);
            let output = batch_norm_train(input, self.gamma.val(), self.beta.val(), Self::EPSILON);
            self.update(num_values, output.mean, output.variance);
            output.output
        } else {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            batch_norm(input, self.gamma.val(), self.beta.val(), mean, variance, Self::EPSILON)
        }
    }

    /// [`forward`](Self::forward) in training, with the ReLU and the pooling after it.
    pub(crate) fn forward_relu_pool(&self, input: Tensor<4>, pooling: Pooling) -> Tensor<4> {
        let num_values = num_values_of_channel(&input);
        let output = batch_norm_relu(input, self.gamma.val(), self.beta.val(), Self::EPSILON, pooling);
        self.update(num_values, output.mean, output.variance);
        output.output
    }

    /// Whether it normalises by the batch on `device`.
    pub(crate) fn is_training(&self, device: &Device) -> bool {
        device.is_autodiff() && self.training.is_enabled()
    }

    /// Factor and then summand of each channel where it normalises by the running statistics.
    pub(crate) fn factor_and_shift(&self) -> (Tensor<1>, Tensor<1>) {
        let (mean, variance) = (self.running_mean.value(), self.running_var.value());
        let factor = self.gamma.val() / (variance + Self::EPSILON).sqrt();
        (factor.clone(), self.beta.val() - mean * factor)
    }

    /// Moves the running statistics towards those of a batch.
    fn update(&self, num_values: f64, mean: Tensor<1>, variance: Tensor<1>) {
        let unbiased = num_values / (num_values - 1.0).max(1.0);
        let mean = self.running_mean.value_sync() * (1.0 - MOMENTUM) + mean.detach() * MOMENTUM;
        let variance =
            self.running_var.value_sync() * (1.0 - MOMENTUM) + variance.detach() * (MOMENTUM * unbiased);
        self.running_mean.update(mean.detach());
        self.running_var.update(variance.detach());
        // Burn keeps an update pending until the next read; a checkpoint taken now would miss it.
        self.running_mean.value_sync();
        self.running_var.value_sync();
    }

    /// From now on it normalises by the running statistics on every device, and leaves them as they are.
    pub(crate) fn fix_statistics(&mut self) {
        self.training = Param::from_bool(false);
    }

    /// Running mean and variance, `[channels]` each.
    pub fn running_statistics(&self) -> (Tensor<1>, Tensor<1>) {
        (self.running_mean.value_sync(), self.running_var.value_sync())
    }
}

/// Values that the mean of a channel is taken over.
fn num_values_of_channel(input: &Tensor<4>) -> f64 {
    let [batch, _, height, width] = input.dims();
    (batch * height * width) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    /// One channel after the values 1, 2, 3 and 6, and its output.
    fn one_training_step() -> (BatchNorm2d, Tensor<4>) {
        let device = Device::flex().autodiff();
        let norm = BatchNorm2d::new(1, &device);
        let values = TensorData::new(vec![1.0_f32, 2.0, 3.0, 6.0], [1, 1, 2, 2]);
        let output = norm.forward(Tensor::from_data(values, &device));
        (norm, output)
    }

    #[test]
    fn running_statistics_follow_pytorch() {
        // Mean 3, biased variance 3.5, unbiased 14/3. After one step: mean 0.1 * 3, variance 0.9 + 0.1 *
        // 14/3.
        let (norm, output) = one_training_step();
        let output = output.into_data().try_to_vec::<f32>().unwrap();
        assert!((output[0] - (1.0 - 3.0) / (3.5_f32 + 1e-5).sqrt()).abs() < 1e-5);
        let (mean, variance) = norm.running_statistics();
        assert!((mean.try_into_scalar::<f32>().unwrap() - 0.3).abs() < 1e-6);
        assert!((variance.try_into_scalar::<f32>().unwrap() - (0.9 + 0.1 * 14.0 / 3.0)).abs() < 1e-6);
    }

    #[test]
    fn exported_statistics_are_those_of_the_last_step() {
        let (norm, _) = one_training_step();
        let exported = crate::export_weights(&norm).unwrap();
        let mean = exported["running_mean"].clone().try_to_vec::<f32>().unwrap()[0];
        assert!((mean - 0.3).abs() < 1e-6, "{mean}");
    }
}
