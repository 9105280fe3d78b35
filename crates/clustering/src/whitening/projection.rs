//! Products of centred rows with the components, in `f64` or in pieces in `f32`.

use super::Whitening;
use crate::matmul::{Vectors, add_inner_products, inner_products};

/// From this dimension on products are formed in `f32`.
const SMALLEST_DIM_IN_F32: usize = 2048;

/// Dimensions whose products are summed in `f32`.
const PIECE_LEN: usize = 256;

/// A whitening laid out for the products.
pub(super) struct Projection<'a> {
    whitening: &'a Whitening,
    single: Option<SingleComponents>,
}

/// The components in `f32`, each times a power of two that brings it into `[-1, 1]`.
struct SingleComponents {
    /// Pieces of `PIECE_LEN` dimensions or less: `[num_components, piece_len]` each.
    pieces: Vec<f32>,
    /// The inverses of the powers of two, `[num_components]`.
    scales: Vec<f64>,
}

#[derive(Default)]
pub(super) struct Scratch {
    centered: Vec<f64>,
    pieces: Vec<f32>,
    scales: Vec<f64>,
    piece_products: Vec<f32>,
    products: Vec<f64>,
}

impl<'a> Projection<'a> {
    pub(super) fn new(whitening: &'a Whitening) -> Self {
        let dim = whitening.feature_dim();
        let single = (dim >= SMALLEST_DIM_IN_F32).then(|| SingleComponents::new(&whitening.components, dim));
        Self { whitening, single }
    }

    /// The products of `rows`, `[num_rows, feature_dim]`, with the components, `[num_rows, num_components]`.
    pub(super) fn apply<'s>(&self, rows: &[f32], scratch: &'s mut Scratch) -> &'s [f64] {
        let (dim, num_components) = (self.whitening.feature_dim(), self.whitening.num_components());
        scratch.centered.resize(rows.len(), 0.0);
        for (row, centered) in rows.chunks_exact(dim).zip(scratch.centered.chunks_exact_mut(dim)) {
            for ((centered, &value), mean) in centered.iter_mut().zip(row).zip(&self.whitening.mean) {
                *centered = f64::from(value) - mean;
            }
        }
        scratch.products.clear();
        scratch.products.resize(rows.len() / dim * num_components, 0.0);
        match &self.single {
            Some(components) => components.multiply(dim, scratch),
            None => {
                let vectors = |values, count| Vectors {
                    values,
                    count,
                    len: dim,
                    vector_stride: dim,
                    element_stride: 1,
                };
                let centered = vectors(&scratch.centered, rows.len() / dim);
                let components = vectors(&self.whitening.components, num_components);
                add_inner_products(centered, components, &mut scratch.products);
            }
        }
        &scratch.products
    }
}

impl SingleComponents {
    fn new(components: &[f64], dim: usize) -> Self {
        let (mut pieces, mut scales) = (Vec::new(), Vec::new());
        round_in_pieces(components, dim, &mut pieces, &mut scales);
        Self { pieces, scales }
    }

    /// Adds the products of the centred rows in `scratch` to the products there.
    fn multiply(&self, dim: usize, scratch: &mut Scratch) {
        let Scratch { centered, pieces, scales, piece_products, products } = scratch;
        round_in_pieces(centered, dim, pieces, scales);
        piece_products.resize(products.len(), 0.0);
        let (num_rows, num_components) = (scales.len(), self.scales.len());
        let rows = pieces.chunks(PIECE_LEN * num_rows);
        for (rows, components) in rows.zip(self.pieces.chunks(PIECE_LEN * num_components)) {
            inner_products(rows, components, rows.len() / num_rows, piece_products);
            for (product, &piece) in products.iter_mut().zip(&*piece_products) {
                *product += f64::from(piece);
            }
        }
        for (products, row_scale) in products.chunks_exact_mut(num_components).zip(scales) {
            for (product, scale) in products.iter_mut().zip(&self.scales) {
                *product *= *row_scale * scale;
            }
        }
    }
}

/// Rounds the rows of `values`, `[num_rows, dim]`, to `f32`, each divided by a power of two that brings it
/// into `[-1, 1]`, so that products neither overflow nor vanish: writes pieces `[num_rows, piece_len]` of up
/// to `PIECE_LEN` columns each, and the powers of two.
fn round_in_pieces(values: &[f64], dim: usize, pieces: &mut Vec<f32>, scales: &mut Vec<f64>) {
    let num_rows = values.len() / dim;
    scales.clear();
    scales.extend(values.chunks_exact(dim).map(power_of_two_above));
    pieces.resize(values.len(), 0.0);
    for (first, piece) in (0..dim).step_by(PIECE_LEN).zip(pieces.chunks_mut(PIECE_LEN * num_rows)) {
        let piece_len = piece.len() / num_rows;
        let rows = values.chunks_exact(dim).zip(&*scales);
        for ((row, scale), out) in rows.zip(piece.chunks_exact_mut(piece_len)) {
            let factor = scale.recip();
            for (out, value) in out.iter_mut().zip(&row[first..]) {
                *out = (value * factor) as f32;
            }
        }
    }
}

/// A power of two not below the magnitude of any value, far from the limits of `f64`; 1 for zeros.
fn power_of_two_above(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest > 0.0 { 2.0_f64.powi((largest.log2().ceil() as i32).clamp(-1000, 1000)) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in `[-1, 1)` without structure.
    fn values(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1 << 23) as f64 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn products_in_single_precision_are_exact_to_f32_whatever_the_mean_and_the_scale() {
        let (dim, num_components, num_rows) = (SMALLEST_DIM_IN_F32 + 100, 3, 5);
        for scale in [1.0, 1e-36, 1e15] {
            let mean: Vec<f64> = values(dim, 1).iter().map(|value| 1000.0 * scale * value).collect();
            let components: Vec<f64> =
                values(num_components * dim, 2).iter().map(|value| value / scale).collect();
            let whitening = Whitening { mean: mean.clone(), components, normalize: false };
            let rows: Vec<f32> = values(num_rows * dim, 3)
                .iter()
                .zip(mean.iter().cycle())
                .map(|(value, mean)| (mean + scale * value) as f32)
                .collect();
            let projection = Projection::new(&whitening);
            let mut scratch = Scratch::default();
            let products = projection.apply(&rows, &mut scratch);
            for (row, products) in rows.chunks(dim).zip(products.chunks(num_components)) {
                for (component, product) in whitening.components.chunks(dim).zip(products) {
                    let terms =
                        row.iter().zip(&mean).zip(component).map(|((x, m), c)| (f64::from(*x) - m) * c);
                    let (exact, size) =
                        terms.fold((0.0, 0.0), |(sum, size), term: f64| (sum + term, size + term.abs()));
                    assert!(size > 1.0 && (product - exact).abs() < 1e-7 * size, "{product} is not {exact}");
                }
            }
        }
    }
}
