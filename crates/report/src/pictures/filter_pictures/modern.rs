//! Gradient ascent on cosine waves under random moves.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::cosine_image::{CosineBasis, resampling};
use super::{Ascent, OnStep, no_gradient};
use crate::error::ReportError;

const STEP_SIZE: f64 = 0.05;
/// Deviation of the coefficients that the ascent begins with.
const NOISE: f64 = 0.01;
/// Greatest move, as a share of the side.
const SHIFT: f64 = 1.0 / 12.0;
/// Least and greatest scale.
const ZOOM: (f64, f64) = (0.88, 1.12);
/// Slope below 0: small, so that filters without a response to noise still have a gradient;
/// but not 1, since the mean of a linear filter over an image does not depend on its pattern.
const SLOPE: f64 = 0.05;
/// Decay of Adam's means of the gradient and of its square.
const BETAS: (f64, f64) = (0.9, 0.999);
/// Correlation of colours in photographs: what a step in brightness, from blue to orange and from green to
/// purple adds to red, green and blue.
const COLOURS: [[f32; 3]; 3] = [[0.56, 0.56, 0.56], [0.19, 0.0, -0.19], [0.04, -0.1, 0.06]];

/// Finds pictures; returns the first and the last, colours in 0..=1, `[batch, 3, size, size]`.
pub(super) fn ascend(
    ascent: &Ascent<'_>,
    num_steps: usize,
    on_step: &mut OnStep<'_>,
) -> Result<(Tensor<4>, Tensor<4>), ReportError> {
    let (size, device) = (ascent.size, ascent.device);
    let basis = CosineBasis::new(size, device);
    let step_size = ascent.config.step_size.unwrap_or(STEP_SIZE);
    let wanted = ascent.wanted();
    // Behind the Sobel filter there is no colour.
    let planes = if ascent.network.has_sobel() { 1 } else { 3 };
    let mut coefficients = ascent.noise(planes) * NOISE;
    let mut adam = Adam::new(step_size, &coefficients);
    let first = colours(&basis, coefficients.clone());
    let mut moves = ChaCha8Rng::seed_from_u64(ascent.config.seed);
    for _ in 0..num_steps {
        let zoom = moves.random_range(ZOOM.0..ZOOM.1);
        let reach = SHIFT * size as f64;
        let shift = (moves.random_range(-reach..reach), moves.random_range(-reach..reach));
        let tracked = Tensor::from_inner(coefficients.clone().inner()).require_grad();
        let moved = resampling(size, zoom, shift, device).apply(colours(&basis, tracked.clone()));
        let responses = ascent.mean_responses(ascent.normalized(moved), SLOPE);
        let gradients = (responses * wanted.clone()).sum().backward();
        let gradient = tracked.grad(&gradients).ok_or_else(no_gradient)?;
        coefficients = Tensor::from_inner(adam.step(coefficients.inner(), gradient));
        on_step()?;
    }
    Ok((first, colours(&basis, coefficients)))
}

/// Colours in 0..=1, `[batch, 3, size, size]`, of coefficients, `[batch, 1 or 3, size, size]`.
fn colours(basis: &CosineBasis, coefficients: Tensor<4>) -> Tensor<4> {
    let images = basis.images(coefficients);
    let [batch, planes, size, _] = images.dims();
    let colours = if planes == 1 {
        images.expand([batch, 3, size, size])
    } else {
        let device = images.device();
        let mixed: Vec<f32> = (0..9).map(|index| COLOURS[index % 3][index / 3]).collect();
        let mix = Tensor::<3>::from_data(TensorData::new(mixed, [1, 3, 3]), &device);
        mix.matmul(images.flatten::<3>(2, 3)).reshape([batch, 3, size, size])
    };
    sigmoid(colours)
}

/// Adam (Kingma & Ba, 2015), uphill.
struct Adam {
    step_size: f64,
    num_steps: i32,
    mean: Tensor<4>,
    mean_square: Tensor<4>,
}

impl Adam {
    fn new(step_size: f64, values: &Tensor<4>) -> Self {
        let zeros = values.clone().inner().zeros_like();
        Self { step_size, num_steps: 0, mean: zeros.clone(), mean_square: zeros }
    }

    fn step(&mut self, values: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
        self.num_steps += 1;
        self.mean = self.mean.clone() * BETAS.0 + gradient.clone() * (1.0 - BETAS.0);
        self.mean_square = self.mean_square.clone() * BETAS.1 + gradient.square() * (1.0 - BETAS.1);
        let mean = self.mean.clone() / (1.0 - BETAS.0.powi(self.num_steps));
        let deviation = (self.mean_square.clone() / (1.0 - BETAS.1.powi(self.num_steps))).sqrt();
        values + mean / (deviation + 1e-8) * self.step_size
    }
}
