//! Batch normalisation with ReLU and max-pooling on the CPU.

use pulp::Arch;
use rayon::prelude::*;

use crate::host::sums::{sum_of, sums_of};
use crate::pooling::{Pooling, pool_plane};

/// `[batch, channels, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapShape {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl MapShape {
    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn num_values(&self) -> f64 {
        (self.batch * self.plane()) as f64
    }

    /// Sums of each channel over what `of_planes` has for each plane.
    fn sums_of_channels<T: Copy, const N: usize>(
        &self,
        of_planes: &[T],
        values: impl Fn(T) -> [f64; N],
    ) -> Vec<[f64; N]> {
        let mut sums = vec![[0.0; N]; self.channels];
        for planes in of_planes.chunks_exact(self.channels) {
            for (sums, &plane) in sums.iter_mut().zip(planes) {
                sums.iter_mut().zip(values(plane)).for_each(|(sum, value)| *sum += value);
            }
        }
        sums
    }
}

/// Mean and variance of each channel.
pub(super) fn statistics(input: &[f32], shape: &MapShape) -> (Vec<f32>, Vec<f32>) {
    let arch = Arch::new();
    let planes = || input.par_chunks(shape.plane());
    let of_planes: Vec<f64> = planes().map(|plane| arch.dispatch(|| sum_of(plane, |value| value))).collect();
    let sums = shape.sums_of_channels(&of_planes, |sum| [sum]);
    let mean: Vec<f32> = sums.iter().map(|[sum]| (sum / shape.num_values()) as f32).collect();
    let squares = planes().enumerate().map(|(index, plane)| {
        let mean = mean[index % shape.channels];
        arch.dispatch(|| sum_of(plane, |value| (value - mean) * (value - mean)))
    });
    let of_planes: Vec<f64> = squares.collect();
    let sums = shape.sums_of_channels(&of_planes, |sum| [sum]);
    let variance = sums.iter().map(|[sum]| (sum / shape.num_values()) as f32).collect();
    (mean, variance)
}

/// Factor and then summand of a channel.
#[derive(Debug, Clone, Copy)]
struct Scale {
    factor: f32,
    shift: f32,
}

impl Scale {
    #[inline(always)]
    fn activate(self, value: f32) -> f32 {
        (value * self.factor + self.shift).max(0.0)
    }
}

fn scales([gamma, beta, mean, variance]: [&[f32]; 4], epsilon: f64) -> Vec<Scale> {
    let of_channel = |channel: usize| {
        let factor = gamma[channel] * inverse_deviation(variance[channel], epsilon);
        Scale { factor, shift: beta[channel] - mean[channel] * factor }
    };
    (0..gamma.len()).map(of_channel).collect()
}

fn inverse_deviation(variance: f32, epsilon: f64) -> f32 {
    (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32
}

/// The normalised values after their ReLU, the largest of each window of the pooling.
pub(super) fn forward(
    input: &[f32],
    parameters: [&[f32]; 4],
    epsilon: f64,
    shape: &MapShape,
    pooling: Pooling,
) -> Vec<f32> {
    let scales = scales(parameters, epsilon);
    let [height, width] = pooling.pooled([shape.height, shape.width]);
    let mut output = vec![0.0; shape.batch * shape.channels * height * width];
    let arch = Arch::new();
    let planes = output.par_chunks_mut(height * width).zip(input.par_chunks(shape.plane())).enumerate();
    planes.for_each_init(Vec::new, |scratch, (index, (output, input))| {
        let scale = scales[index % shape.channels];
        arch.dispatch(|| {
            if pooling == Pooling::NONE {
                output.iter_mut().zip(input).for_each(|(output, &input)| *output = scale.activate(input));
            } else {
                pool_plane(input, output, shape.width, pooling, |value| scale.activate(value), scratch);
            }
        });
    });
    output
}

/// Gradients of input, gamma and beta.
///
/// `input`, the output and its gradient as [`forward`] takes and gives them.
pub(super) fn gradients(
    [input, of_output]: [&[f32]; 2],
    parameters: [&[f32]; 4],
    epsilon: f64,
    shape: &MapShape,
    pooling: Pooling,
) -> [Vec<f32>; 3] {
    let scales = scales(parameters, epsilon);
    let [gamma, _, mean, variance] = parameters;
    let [height, width] = pooling.pooled([shape.height, shape.width]);
    let arch = Arch::new();
    let mut of_input = vec![0.0; input.len()];
    // Of each plane: the sum of the gradients that pass pooling and ReLU, which are written down, and that of
    // their products with the differences of the values from their mean.
    let planes = of_input.par_chunks_mut(shape.plane()).zip(input.par_chunks(shape.plane()));
    let planes = planes.zip(of_output.par_chunks(height * width)).enumerate();
    let of_planes = planes.map(|(index, ((passed, input), of_output))| {
        let channel = index % shape.channels;
        let scale = scales[channel];
        arch.dispatch(|| {
            if pooling == Pooling::NONE {
                for ((passed, &input), &of_output) in passed.iter_mut().zip(input).zip(of_output) {
                    *passed = if scale.activate(input) > 0.0 { of_output } else { 0.0 };
                }
            } else {
                unpool_plane(input, of_output, passed, scale, shape.width, width, pooling);
            }
            let mean = mean[channel];
            sums_of(passed, input, |passed, input| [passed, passed * (input - mean)])
        })
    });
    let of_planes: Vec<[f64; 2]> = of_planes.collect();
    let sums = shape.sums_of_channels(&of_planes, |sums| sums);
    let planes = of_input.par_chunks_mut(shape.plane()).zip(input.par_chunks(shape.plane())).enumerate();
    planes.for_each(|(index, (of_input, input))| {
        let channel = index % shape.channels;
        let inverse = inverse_deviation(variance[channel], epsilon);
        let factor = gamma[channel] * inverse;
        // gamma / deviation * (passed - mean of the passed - normalised * mean of the products)
        let [passed, product] = sums[channel].map(|sum| (sum / shape.num_values()) as f32);
        let (slope, mean) = (product * inverse * inverse, mean[channel]);
        arch.dispatch(|| {
            for (of_input, &input) in of_input.iter_mut().zip(input) {
                *of_input = factor * (*of_input - passed - (input - mean) * slope);
            }
        });
    });
    let of_gamma = sums.iter().zip(variance);
    let of_gamma = of_gamma
        .map(|([_, product], &variance)| (product * f64::from(inverse_deviation(variance, epsilon))) as f32);
    [of_input, of_gamma.collect(), sums.iter().map(|[passed, _]| *passed as f32).collect()]
}

/// Gives each gradient to the first of the largest values of its window, if it is above 0.
#[inline(always)]
fn unpool_plane(
    input: &[f32],
    of_output: &[f32],
    passed: &mut [f32],
    scale: Scale,
    width: usize,
    pooled_width: usize,
    pooling: Pooling,
) {
    let Pooling { size, stride } = pooling;
    passed.fill(0.0);
    for (row, of_output) in of_output.chunks_exact(pooled_width).enumerate() {
        for (column, &gradient) in of_output.iter().enumerate() {
            let start = row * stride * width + column * stride;
            let (mut most, mut place) = (0.0, None);
            for y in 0..size {
                let window = &input[start + y * width..start + y * width + size];
                for (x, &value) in window.iter().enumerate() {
                    let value = scale.activate(value);
                    if value > most {
                        (most, place) = (value, Some(start + y * width + x));
                    }
                }
            }
            if let Some(place) = place {
                passed[place] += gradient;
            }
        }
    }
}
