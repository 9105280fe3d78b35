//! Batch normalisation with ReLU on the CPU.

use rayon::prelude::*;

/// Values that are added up in `f32` before they go to `f64`.
const RUN: usize = 64;

/// Where a channel lies: `[batch, channels, plane]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapShape {
    pub(super) batch: usize,
    pub(super) channels: usize,
    /// Height times width.
    pub(super) plane: usize,
}

impl MapShape {
    /// The planes of a channel, one for each image.
    fn planes<'a>(&self, values: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        values.chunks_exact(self.plane).skip(channel).step_by(self.channels)
    }

    fn num_values(&self) -> f64 {
        (self.batch * self.plane) as f64
    }
}

/// Mean and variance of each channel.
pub(super) fn statistics(input: &[f32], shape: &MapShape) -> (Vec<f32>, Vec<f32>) {
    let of_channel = |channel: usize| {
        let sum: f64 = shape.planes(input, channel).map(|plane| sum_of(plane, |value| value)).sum();
        let mean = (sum / shape.num_values()) as f32;
        let squares: f64 = shape
            .planes(input, channel)
            .map(|plane| sum_of(plane, |value| (value - mean) * (value - mean)))
            .sum();
        (mean, (squares / shape.num_values()) as f32)
    };
    (0..shape.channels).into_par_iter().map(of_channel).unzip()
}

/// A sum in runs.
fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    values.chunks(RUN).map(|run| f64::from(run.iter().map(|&value| term(value)).sum::<f32>())).sum()
}

/// What every value of a channel is multiplied with and what is added then.
fn scales(gamma: &[f32], beta: &[f32], mean: &[f32], variance: &[f32], epsilon: f64) -> Vec<(f32, f32)> {
    let of_channel = |channel: usize| {
        let inverse = inverse_deviation(variance[channel], epsilon);
        let scale = gamma[channel] * inverse;
        (scale, beta[channel] - mean[channel] * scale)
    };
    (0..gamma.len()).map(of_channel).collect()
}

fn inverse_deviation(variance: f32, epsilon: f64) -> f32 {
    (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32
}

/// The normalised values after their ReLU.
pub(super) fn normalize_relu(
    input: &[f32],
    [gamma, beta, mean, variance]: [&[f32]; 4],
    epsilon: f64,
    shape: &MapShape,
) -> Vec<f32> {
    let scales = scales(gamma, beta, mean, variance, epsilon);
    let mut output = vec![0.0; input.len()];
    let planes = output.par_chunks_mut(shape.plane).zip(input.par_chunks(shape.plane)).enumerate();
    planes.for_each(|(index, (output, input))| {
        let (scale, shift) = scales[index % shape.channels];
        output.iter_mut().zip(input).for_each(|(output, input)| *output = (input * scale + shift).max(0.0));
    });
    output
}

/// Gradients of input, gamma and beta.
pub(super) fn gradients(
    [input, output, of_output]: [&[f32]; 3],
    [gamma, mean, variance]: [&[f32]; 3],
    epsilon: f64,
    shape: &MapShape,
) -> [Vec<f32>; 3] {
    // Of each channel: the sum of the gradients that pass the ReLU, and that of their products with the normalised values.
    let sums = |channel: usize| {
        let (mean, inverse) = (mean[channel], inverse_deviation(variance[channel], epsilon));
        let mut sums = (0.0_f64, 0.0_f64);
        let planes = shape.planes(input, channel).zip(shape.planes(output, channel));
        for ((input, output), of_output) in planes.zip(shape.planes(of_output, channel)) {
            let runs = input.chunks(RUN).zip(output.chunks(RUN)).zip(of_output.chunks(RUN));
            for ((input, output), of_output) in runs {
                let mut run = (0.0_f32, 0.0_f32);
                for ((input, output), of_output) in input.iter().zip(output).zip(of_output) {
                    let passed = if *output > 0.0 { *of_output } else { 0.0 };
                    run.0 += passed;
                    run.1 += passed * (input - mean);
                }
                sums.0 += f64::from(run.0);
                sums.1 += f64::from(run.1 * inverse);
            }
        }
        sums
    };
    let sums: Vec<(f64, f64)> = (0..shape.channels).into_par_iter().map(sums).collect();
    let mut of_input = vec![0.0; input.len()];
    let planes = of_input.par_chunks_mut(shape.plane).zip(input.par_chunks(shape.plane));
    let planes =
        planes.zip(output.par_chunks(shape.plane).zip(of_output.par_chunks(shape.plane))).enumerate();
    planes.for_each(|(index, ((of_input, input), (output, of_output)))| {
        let channel = index % shape.channels;
        let inverse = inverse_deviation(variance[channel], epsilon);
        let scale = gamma[channel] * inverse;
        // gamma / deviation * (passed - mean of the passed - normalised * mean of the products)
        let of_shift = (sums[channel].0 / shape.num_values()) as f32;
        let slope = (sums[channel].1 / shape.num_values()) as f32 * inverse;
        let mean = mean[channel];
        for ((of_input, input), (output, of_output)) in
            of_input.iter_mut().zip(input).zip(output.iter().zip(of_output))
        {
            let passed = if *output > 0.0 { *of_output } else { 0.0 };
            *of_input = scale * (passed - of_shift - (input - mean) * slope);
        }
    });
    let of_gamma = sums.iter().map(|(_, product)| *product as f32).collect();
    let of_beta = sums.iter().map(|(passed, _)| *passed as f32).collect();
    [of_input, of_gamma, of_beta]
}
