//! The values of the weights at the points, and gradients of weights from theirs.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::bands::padded;
use super::tiles::LINE;
use super::transforms::{Evaluate, EvaluateTransposed, POINTS, WEIGHT_SCALES, in_two_directions};
use crate::host::matrix_product::{Panels, panel_width};

/// A matrix for each pair of points, in panels for products with tiles on the left.
pub(super) struct PointMatrices {
    /// `[panels, points, points, inner, panel width]`, a line after each matrix.
    values: Vec<f32>,
    /// Rows of each matrix.
    inner: usize,
}

impl PointMatrices {
    /// From channels of the images to those of the maps.
    pub(super) fn forward<const R: usize>(weight: &[f32], shape: &ConvShape) -> Self {
        let (channels_in, channels_out) = (shape.channels_in, shape.channels_out);
        Self::new::<R>(weight, channels_in, channels_out, |inner, column| column * channels_in + inner)
    }

    /// From channels of the maps to those of the images.
    pub(super) fn backward<const R: usize>(weight: &[f32], shape: &ConvShape) -> Self {
        let (channels_in, channels_out) = (shape.channels_in, shape.channels_out);
        Self::new::<R>(weight, channels_out, channels_in, |inner, column| inner * channels_in + column)
    }

    /// `kernel_of` gives the number of the kernel between two channels.
    fn new<const R: usize>(
        weight: &[f32],
        inner: usize,
        columns: usize,
        kernel_of: impl Fn(usize, usize) -> usize + Sync,
    ) -> Self {
        let width = panel_width();
        let point_step = inner * width + LINE;
        let mut values = vec![0.0; columns.div_ceil(width) * POINTS * POINTS * point_step];
        let panels = values.par_chunks_mut(POINTS * POINTS * point_step).enumerate();
        panels.for_each(|(panel, values)| {
            let columns = panel * width..((panel + 1) * width).min(columns);
            let mut pixels = vec![0.0; R * R * inner * width];
            for inner in 0..inner {
                for (lane, column) in columns.clone().enumerate() {
                    let kernel = &weight[kernel_of(inner, column) * R * R..][..R * R];
                    for (pixel, &weight) in kernel.iter().enumerate() {
                        pixels[(inner * R * R + pixel) * width + lane] = weight;
                    }
                }
            }
            Arch::new().dispatch(KernelValues::<R> { pixels: &pixels, inner, width, point_step, values });
        });
        Self { values, inner }
    }

    /// The matrix of a pair of points.
    pub(super) fn panels(&self, point: usize) -> Panels<'_> {
        let point_step = self.inner * panel_width() + LINE;
        Panels { values: &self.values[point * point_step..], step: POINTS * POINTS * point_step }
    }
}

/// The kernels of a panel, `[inner, R, R, width]`, to their values at the points, `[points, points, inner,
/// width]`.
struct KernelValues<'a, const R: usize> {
    pixels: &'a [f32],
    inner: usize,
    width: usize,
    point_step: usize,
    values: &'a mut [f32],
}

impl<const R: usize> WithSimd for KernelValues<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (pixels, values) = (S::as_simd_f32s(self.pixels).0, S::as_mut_simd_f32s(self.values).0);
        let (vectors, point_step) = (self.width / S::F32_LANES, self.point_step / S::F32_LANES);
        for inner in 0..self.inner {
            for vector in 0..vectors {
                let mut square = [[simd.splat_f32s(0.0); R]; R];
                for y in 0..R {
                    for x in 0..R {
                        square[y][x] = pixels[(inner * R * R + y * R + x) * vectors + vector];
                    }
                }
                let at_points = in_two_directions::<S, Evaluate, R, POINTS>(simd, square);
                for y in 0..POINTS {
                    for x in 0..POINTS {
                        let scale = simd.splat_f32s(WEIGHT_SCALES[y] * WEIGHT_SCALES[x]);
                        let place = (y * POINTS + x) * point_step + inner * vectors + vector;
                        values[place] = simd.mul_f32s(scale, at_points[y][x]);
                    }
                }
            }
        }
    }
}

/// The gradient of the weights from that of their values at the points, `[points, points, channels_out,
/// channels_in]` with padded channels of the images and a line after each pair of points.
pub(super) fn weight_gradient_from_points<const R: usize>(of_values: &[f32], shape: &ConvShape) -> Vec<f32> {
    let channels = padded(shape.channels_in);
    let mut gradient = vec![0.0; shape.channels_out * shape.channels_in * R * R];
    let filters = gradient.par_chunks_mut(shape.channels_in * R * R).enumerate();
    filters.for_each_init(
        || vec![0.0; R * R * channels],
        |pixels, (filter, of_filter)| {
            let of_values = &of_values[filter * channels..];
            let point_step = shape.channels_out * channels + LINE;
            Arch::new().dispatch(FilterGradient::<R> { of_values, point_step, channels, pixels });
            for (channel, square) in of_filter.chunks_exact_mut(R * R).enumerate() {
                for (pixel, gradient) in square.iter_mut().enumerate() {
                    *gradient = pixels[pixel * channels + channel];
                }
            }
        },
    );
    gradient
}

struct FilterGradient<'a, const R: usize> {
    of_values: &'a [f32],
    point_step: usize,
    channels: usize,
    pixels: &'a mut [f32],
}

impl<const R: usize> WithSimd for FilterGradient<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (of_values, pixels) = (S::as_simd_f32s(self.of_values).0, S::as_mut_simd_f32s(self.pixels).0);
        let (vectors, point_step) = (self.channels / S::F32_LANES, self.point_step / S::F32_LANES);
        for vector in 0..vectors {
            let mut square = [[simd.splat_f32s(0.0); POINTS]; POINTS];
            for y in 0..POINTS {
                for x in 0..POINTS {
                    let scale = simd.splat_f32s(WEIGHT_SCALES[y] * WEIGHT_SCALES[x]);
                    square[y][x] = simd.mul_f32s(scale, of_values[(y * POINTS + x) * point_step + vector]);
                }
            }
            let of_weights = in_two_directions::<S, EvaluateTransposed, POINTS, R>(simd, square);
            for y in 0..R {
                for x in 0..R {
                    pixels[(y * R + x) * vectors + vector] = of_weights[y][x];
                }
            }
        }
    }
}
