//! The gradient ascent of the original code.

use burn::tensor::activation::log_softmax;
use burn::tensor::module::conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Tensor, TensorData};

use super::{Ascent, OnStep, no_gradient};
use crate::error::ReportError;

const STEP_SIZE: f64 = 3.0;
const WEIGHT_DECAY: f64 = 1e-5;
/// Mean and deviation of the noise, of 1.
const NOISE: (f64, f64) = (128.0 / 255.0, 20.0 / 255.0);
/// Deviation of the blur in pixels, and the steps between blurs.
const BLUR: f64 = 0.3;
const STEPS_PER_BLUR: usize = 5;

/// Finds pictures; returns the first and the last, colours in 0..=1, `[batch, 3, size, size]`.
pub(super) fn ascend(
    ascent: &Ascent<'_>,
    num_steps: usize,
    on_step: &mut OnStep<'_>,
) -> Result<(Tensor<4>, Tensor<4>), ReportError> {
    let step_size = ascent.config.step_size.unwrap_or(STEP_SIZE);
    let wanted = ascent.wanted();
    let first = (ascent.noise(3) * NOISE.1 + NOISE.0).clamp(0.0, 1.0);
    let mut images = ascent.normalized(first.clone());
    for step in 0..num_steps {
        let tracked = Tensor::from_inner(images.clone().inner()).require_grad();
        let responses = ascent.mean_responses(tracked.clone(), 0.0);
        let own = (log_softmax(responses, 1) * wanted.clone()).sum();
        let height = own - tracked.clone().square().sum() * WEIGHT_DECAY;
        let gradient = tracked.grad(&height.backward()).ok_or_else(no_gradient)?;
        images = Tensor::from_inner(images.inner() + unit_length(gradient) * step_size);
        if step % STEPS_PER_BLUR == 0 {
            images = ascent.normalized(blurred(colours(ascent, images)));
        }
        on_step()?;
    }
    Ok((first, colours(ascent, images)))
}

/// Normalised images as colours that can be shown, within 0..=1.
fn colours(ascent: &Ascent<'_>, images: Tensor<4>) -> Tensor<4> {
    let input = ascent.input;
    let device = ascent.device;
    let per_channel =
        |values: [f32; 3]| Tensor::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), device);
    (images * per_channel(input.std) + per_channel(input.mean)).clamp(0.0, 1.0)
}

/// Each image's gradient divided by its length.
fn unit_length(gradient: Tensor<4>) -> Tensor<4> {
    let length = gradient.clone().square().sum_dim(1).sum_dim(2).sum_dim(3).sqrt();
    gradient / (length + 1e-12)
}

/// A Gaussian blur; beyond the edge lies the mirror image. Four deviations are less than two pixels, as in
/// SciPy.
fn blurred(images: Tensor<4>) -> Tensor<4> {
    let side = (-1.0 / (2.0 * BLUR * BLUR)).exp();
    let line = [side, 1.0, side].map(|weight| weight / (1.0 + 2.0 * side));
    let kernel: Vec<f32> = (0..9).map(|index| (line[index / 3] * line[index % 3]) as f32).collect();
    let device = images.device();
    let kernel = Tensor::<4>::from_data(TensorData::new(kernel, [1, 1, 3, 3]), &device).repeat_dim(0, 3);
    let padded = images.pad((1, 1, 1, 1), PadMode::Edge);
    conv2d(padded, kernel, None, ConvOptions::new([1, 1], [0, 0], [1, 1], 3))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn blur_is_that_of_scipy() {
        // scipy.ndimage.gaussian_filter of a single 1 in zeros, sigma 0.3: outer product of (0.00383626,
        // 0.99232748, ..).
        let device = Device::flex();
        let mut values = vec![0.0_f32; 3 * 25];
        values[12] = 1.0;
        let image = Tensor::from_data(TensorData::new(values, [1, 3, 5, 5]), &device);
        let found: Vec<f32> = blurred(image).into_data().try_to_vec().unwrap();
        assert!((found[12] - 0.992_327_5 * 0.992_327_5).abs() < 1e-5);
        assert!((found[11] - 0.003_836_26 * 0.992_327_5).abs() < 1e-6);
        assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(found[25..].iter().all(|&value| value == 0.0));
    }

    #[test]
    fn gradients_get_length_one_image_by_image() {
        let gradient = Tensor::<4>::from_data([[[[3.0, 4.0]]], [[[0.0, 0.5]]]], &Device::flex());
        let found: Vec<f32> = unit_length(gradient).into_data().try_to_vec().unwrap();
        assert!(found.iter().zip([0.6, 0.8, 0.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
}
