//! Initial weights as in the original code, drawn on the host from one seed.

use burn::module::Param;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Draws the weights of a network, layer by layer in a fixed order, so that a seed gives the same network on
/// every device.
pub(crate) struct WeightInitializer {
    generator: ChaCha8Rng,
}

impl WeightInitializer {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Values of a normal distribution with mean 0 and the given standard deviation.
    pub(crate) fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        standard_deviation: f64,
        device: &Device,
    ) -> Param<Tensor<D>> {
        let shape = Shape::from(shape);
        let values: Vec<f32> = (0..shape.num_elements())
            .map(|_| {
                let value: f64 = StandardNormal.sample(&mut self.generator);
                (value * standard_deviation) as f32
            })
            .collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// A tensor of zeros, as every bias starts.
    pub(crate) fn zeros<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::zeros(shape, device))
    }
}
