//! Mean and second moments of the rows of a feature source.
//!
//! The rows are read in blocks that are centred in `f64` while they are converted, so a large common mean
//! costs no digits. Blocks are cut at fixed places and summed in order: the bits do not depend on the number
//! of threads.

use rayon::prelude::*;

use super::products::{Number, panels, symmetric_product};
use crate::error::ClusteringError;
use crate::matmul::{Vectors, add_inner_products};
use crate::rows::checked::check_not_empty;
use crate::rows::distance::checked_squared_norm;
use crate::rows::host::HostRows;
use crate::simd::Instructions;

const ROWS_PER_SUM: usize = 256;

/// Sums that are held at a time before they are added up.
const SUMS_PER_PASS: usize = 64;

/// Columns that one task combines.
const TILE: usize = 128;

/// The mean that is subtracted from the rows, and the scale that multiplies them afterwards.
pub(super) struct Centering {
    /// `[feature_dim]`.
    pub(super) mean: Vec<f64>,
    /// A power of two that brings all centred values into `[-1, 1]`: their products stay in the range of
    /// `f32`.
    pub(super) scale: f64,
}

impl Centering {
    /// Reads all rows once.
    ///
    /// # Errors
    /// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
    ///   [`ClusteringError::FeaturesTooLarge`]: names the first bad row.
    pub(super) fn new(source: &dyn HostRows) -> Result<Self, ClusteringError> {
        check_not_empty(source)?;
        let (num_samples, feature_dim) = (source.num_rows(), source.feature_dim());
        let mut mean = vec![0.0; feature_dim];
        let mut largest = 0.0_f32;
        let firsts: Vec<usize> = (0..num_samples).step_by(ROWS_PER_SUM).collect();
        for firsts in firsts.chunks(SUMS_PER_PASS) {
            let sums =
                firsts.par_iter().map_init(Vec::new, |buffer, &first| block_sums(source, first, buffer));
            for block in sums.collect::<Vec<_>>() {
                let (sums, block_largest) = block?;
                mean.iter_mut().zip(sums).for_each(|(mean, sum)| *mean += sum);
                largest = largest.max(block_largest);
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= num_samples as f64);
        // No mean exceeds the largest value, so no centred value exceeds twice that.
        let scale = if largest > 0.0 { 2.0_f64.powi(-(largest.log2().ceil() as i32) - 1) } else { 1.0 };
        Ok(Self { mean, scale })
    }

    /// `out = (values - mean) * scale` for the columns from `first` on.
    fn apply<T: Number>(&self, values: &[f32], first: usize, out: &mut [T]) {
        Instructions::best().compile_for(
            #[inline(always)]
            || {
                for ((out, &value), mean) in out.iter_mut().zip(values).zip(&self.mean[first..]) {
                    *out = T::from_f64((f64::from(value) - mean) * self.scale);
                }
            },
        );
    }
}

/// The sum of each column over a block of rows, and the largest magnitude among them.
fn block_sums(
    source: &dyn HostRows,
    first: usize,
    buffer: &mut Vec<f32>,
) -> Result<(Vec<f64>, f32), ClusteringError> {
    let dim = source.feature_dim();
    let rows = source.read_rows(first, ROWS_PER_SUM.min(source.num_rows() - first), buffer);
    let mut sums = vec![0.0; dim];
    let mut largest = 0.0_f32;
    Instructions::best().compile_for(
        #[inline(always)]
        || {
            for (row, index) in rows.chunks_exact(dim).zip(first..) {
                checked_squared_norm(row, index)?;
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += f64::from(value);
                }
                for &value in row {
                    largest = if value.abs() > largest { value.abs() } else { largest };
                }
            }
            Ok((sums, largest))
        },
    )
}

/// `sum_i (x_i - mean)(x_i - mean)^T / num_rows`, `[dim, dim]`, with products in `T`.
pub(super) fn covariance<T: Number>(source: &dyn HostRows, centering: &Centering) -> Vec<f64> {
    let (num_rows, dim) = (source.num_rows(), source.feature_dim());
    let scale = 1.0 / (num_rows as f64 * centering.scale.powi(2));
    symmetric_product::<T>(dim, num_rows, scale, |first, len, piece, buffer| {
        let rows = source.read_rows(first, len, buffer);
        for (start, width, panel) in panels(piece, len) {
            for (row, out) in rows.chunks_exact(dim).zip(panel.chunks_exact_mut(width)) {
                centering.apply(&row[start..], start, out);
            }
        }
    })
}

/// `<x_i - mean, x_j - mean> / num_rows` for all pairs of `rows`, `[num_rows, dim]`, with products in `T`,
/// `[num_rows, num_rows]`: the Gram matrix, which has the nonzero eigenvalues of the covariance.
pub(super) fn gram<T: Number>(rows: &[f32], centering: &Centering) -> Vec<f64> {
    let dim = centering.mean.len();
    let num_rows = rows.len() / dim;
    let scale = 1.0 / (num_rows as f64 * centering.scale.powi(2));
    symmetric_product::<T>(num_rows, dim, scale, |first, len, piece, _| {
        let mut centered = vec![T::ZERO; len];
        for (start, width, panel) in panels(piece, len) {
            for (index, row) in rows[start * dim..].chunks_exact(dim).take(width).enumerate() {
                centering.apply(&row[first..], first, &mut centered);
                panel
                    .iter_mut()
                    .skip(index)
                    .step_by(width)
                    .zip(&centered)
                    .for_each(|(out, &value)| *out = value);
            }
        }
    })
}

/// `weights (X - mean)`, `[num_weights, dim]`: combinations of the centred `rows`, `[num_rows, dim]`, each
/// with the weights of one row of `weights`, `[num_weights, num_rows]`; up to a common factor.
pub(super) fn combine_rows(rows: &[f32], centering: &Centering, weights: &[f64]) -> Vec<f64> {
    let dim = centering.mean.len();
    let num_rows = rows.len() / dim;
    let count = weights.len() / num_rows;
    let weights =
        Vectors { values: weights, count, len: num_rows, vector_stride: num_rows, element_stride: 1 };
    let firsts: Vec<usize> = (0..dim).step_by(TILE).collect();
    let tiles: Vec<Vec<f64>> = firsts
        .par_iter()
        .map(|&first| {
            let width = TILE.min(dim - first);
            let mut block = vec![0.0; num_rows * width];
            for (row, out) in rows.chunks_exact(dim).zip(block.chunks_exact_mut(width)) {
                centering.apply(&row[first..], first, out);
            }
            let columns = Vectors {
                values: &block,
                count: width,
                len: num_rows,
                vector_stride: 1,
                element_stride: width,
            };
            let mut tile = vec![0.0; count * width];
            add_inner_products(weights, columns, &mut tile);
            tile
        })
        .collect();
    let mut combined = Vec::with_capacity(count * dim);
    for index in 0..count {
        for tile in &tiles {
            let width = tile.len() / count;
            combined.extend_from_slice(&tile[index * width..][..width]);
        }
    }
    combined
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::symmetric_eigen::leading_eigenpairs;

    #[test]
    fn a_small_matrix_gives_its_hand_computed_moments() {
        let features = array![[1.0_f32, 2.0, 0.0], [3.0, 6.0, 0.0]];
        let (features, rows) = (features.view(), features.as_slice().unwrap());
        let centering = Centering::new(&features).unwrap();
        assert_eq!(centering.mean, [2.0, 4.0, 0.0]);
        assert_eq!(centering.scale, 1.0 / 16.0); // from 6 to 8, and twice that
        // centred rows: (-1, -2, 0), (1, 2, 0)
        let expected = [1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(covariance::<f64>(&features, &centering), expected);
        assert_eq!(covariance::<f32>(&features, &centering), expected);
        assert_eq!(gram::<f64>(rows, &centering), [2.5, -2.5, -2.5, 2.5]);
        assert_eq!(gram::<f32>(rows, &centering), [2.5, -2.5, -2.5, 2.5]);
        // (1 * (-1, -2, 0) + 3 * (1, 2, 0)) / 16
        assert_eq!(combine_rows(rows, &centering, &[1.0, 3.0]), [0.125, 0.25, 0.0]);
    }

    #[test]
    fn blocks_and_tiles_agree_with_plain_sums() {
        let value = |i: usize, j: usize| 1000.0 + ((i * 37 + j * 101 + i * j) % 97) as f32 / 16.0;
        for shape in [(1100, 130), (130, 1100)] {
            let matrix = Array2::from_shape_fn(shape, |(i, j)| value(i, j));
            let (features, rows) = (matrix.view(), matrix.as_slice().unwrap());
            let centering = Centering::new(&features).unwrap();
            let centered = matrix.mapv(f64::from) - &ndarray::Array1::from(centering.mean.clone());
            let scale = 1.0 / shape.0 as f64;
            let assert_equal = |got: Vec<f64>, expected: Array2<f64>| {
                assert_eq!(got.len(), expected.len());
                for (got, expected) in got.iter().zip(&expected) {
                    assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
                }
            };
            assert_equal(covariance::<f64>(&features, &centering), centered.t().dot(&centered) * scale);
            assert_equal(gram::<f64>(rows, &centering), centered.dot(&centered.t()) * scale);
            let weights = Array2::from_shape_fn((2, shape.0), |(i, j)| ((i + j) % 5) as f64);
            let combined = combine_rows(rows, &centering, weights.as_slice().unwrap());
            assert_equal(combined, weights.dot(&centered) * centering.scale);
        }
    }

    #[test]
    fn products_in_f32_are_far_more_exact_than_the_smallest_variance_they_are_trusted_with() {
        for scale in [1.0, 1e-30, 1e15] {
            let value = |i: usize, j: usize| {
                7.0 + ((i * 37 + j * 101 + i * j) % 97) as f32 / 16.0 * (1 + j % 3) as f32
            };
            let matrix = Array2::from_shape_fn((3000, 140), |(i, j)| scale * value(i, j));
            let features = matrix.view();
            let centering = Centering::new(&features).unwrap();
            let (exact, rounded) =
                (covariance::<f64>(&features, &centering), covariance::<f32>(&features, &centering));
            let trace: f64 = exact.iter().step_by(141).sum();
            let error: Vec<f64> = exact.iter().zip(&rounded).map(|(a, b)| a - b).collect();
            let negated: Vec<f64> = error.iter().map(|value| -value).collect();
            for error in [error, negated] {
                let largest = leading_eigenpairs(&error, 140, 1).unwrap().values[0];
                assert!(trace > 0.0 && largest < 1e-7 * trace, "{largest} of {trace}");
            }
        }
    }
}
