//! A forward pass, and dropout whose masks come from its seed.

use std::cell::RefCell;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The mode of one forward pass through a network: inference, or training with the seed of its random draws.
///
/// Masks of dropout are drawn on the host from a generator of their own, because the generator of a Burn
/// device is shared by the whole process: with it, a second training in the same program would change the
/// numbers of the first.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deepcluster_models::Pass;
///
/// let values = Tensor::<1>::ones([1000], &Device::flex());
/// let kept = |pass: &Pass| pass.dropout(values.clone(), 0.5).mean().into_scalar::<f32>();
/// assert_eq!(kept(&Pass::inference()), 1.0);
/// // Half of the values are 0, the others 2.
/// assert!((kept(&Pass::training(7)) - 1.0).abs() < 0.2);
/// assert_eq!(kept(&Pass::training(7)), kept(&Pass::training(7)));
/// ```
#[derive(Debug)]
pub struct Pass {
    generator: Option<RefCell<ChaCha8Rng>>,
}

impl Pass {
    /// Inference: nothing is drawn.
    pub fn inference() -> Self {
        Self { generator: None }
    }

    /// Training with draws from `seed`; layers draw one after the other.
    pub fn training(seed: u64) -> Self {
        Self { generator: Some(RefCell::new(ChaCha8Rng::seed_from_u64(seed))) }
    }

    /// Dropout: elements of `input` become 0 with `probability`, in `[0, 1)`, and the others are scaled so
    /// that the mean stays (Srivastava et al., JMLR 2014). At inference the input itself.
    pub fn dropout<const D: usize>(&self, input: Tensor<D>, probability: f64) -> Tensor<D> {
        if probability == 0.0 {
            return input;
        }
        let shape = input.shape();
        match self.draw(shape.num_elements(), probability) {
            None => input,
            Some(mask) => {
                let mask = Tensor::<D>::from_data(TensorData::new(mask, shape), &input.device());
                input * mask
            }
        }
    }

    /// A mask of `0` (with the given probability) and `1 / (1 - probability)`, or `None` when dropout is off.
    fn draw(&self, num_elements: usize, probability: f64) -> Option<Vec<f32>> {
        let mut generator = self.generator.as_ref()?.borrow_mut();
        let kept = (1.0 / (1.0 - probability)) as f32;
        // A 32-bit threshold: the probability is met to 2^-32.
        let threshold = (probability * f64::from(u32::MAX)) as u32;
        let mut random = vec![0_u8; num_elements * 4];
        generator.fill_bytes(&mut random);
        let mask = random
            .chunks_exact(4)
            .map(|bytes| {
                let draw = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                if draw < threshold { 0.0 } else { kept }
            })
            .collect();
        Some(mask)
    }
}

/// A layer of dropout with its probability.
#[derive(Module, Debug)]
pub struct Dropout {
    probability: f64,
}

impl Dropout {
    /// A layer that drops elements with `probability`, in `[0, 1)`.
    pub fn new(probability: f64) -> Self {
        Self { probability }
    }

    /// [`Pass::dropout`] with the probability of this layer.
    pub fn forward<const D: usize>(&self, input: Tensor<D>, pass: &Pass) -> Tensor<D> {
        pass.dropout(input, self.probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn half_of_the_elements_are_dropped_and_the_rest_doubled() {
        let input = Tensor::<2>::ones([100, 100], &Device::flex());
        let output = Dropout::new(0.5).forward(input, &Pass::training(1));
        let values = output.into_data().try_to_vec::<f32>().unwrap();
        assert!(values.iter().all(|&value| value == 0.0 || value == 2.0));
        // 10,000 draws: the standard deviation of the count is 50.
        let kept = values.iter().filter(|&&value| value == 2.0).count();
        assert!((4_750..5_250).contains(&kept), "{kept} kept");
    }

    #[test]
    fn the_same_seed_gives_the_same_masks_and_a_second_layer_another_one() {
        let masks = Pass::training(7);
        let first = masks.draw(64, 0.5).unwrap();
        assert_ne!(first, masks.draw(64, 0.5).unwrap());
        assert_eq!(first, Pass::training(7).draw(64, 0.5).unwrap());
    }

    #[test]
    fn off_leaves_the_input_untouched() {
        let input = Tensor::<1>::from_data([1.0, -2.0, 3.0], &Device::flex());
        let output = Dropout::new(0.5).forward(input.clone(), &Pass::inference());
        assert_eq!(output.into_data(), input.into_data());
    }
}
