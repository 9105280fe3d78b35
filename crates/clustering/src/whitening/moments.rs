//! Mean and second moments of the rows of a feature matrix, in `f64`.
//!
//! The matrix is read in blocks that are centred while they are converted, so a large common mean costs no digits.
//! Blocks and tiles are cut at fixed places and each tile is summed by one thread at a time in the order of the
//! blocks: the bits do not depend on the number of threads.

use rayon::prelude::*;

use crate::feature_matrix::FeatureMatrix;
use crate::matmul::{Vectors, add_inner_products};

const ROWS_PER_SUM: usize = 1024;

/// Length of the pieces in which inner products are summed.
const BLOCK_LEN: usize = 512;

/// Rows and columns of an output tile.
const TILE: usize = 128;

/// The mean of each column, `[dim]`.
pub(super) fn column_means(features: &FeatureMatrix<'_>) -> Vec<f64> {
    let dim = features.dim();
    let partial_sums: Vec<Vec<f64>> = features
        .as_slice()
        .par_chunks(ROWS_PER_SUM * dim)
        .map(|rows| {
            let mut sums = vec![0.0; dim];
            for row in rows.chunks_exact(dim) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += f64::from(value);
                }
            }
            sums
        })
        .collect();
    let mut means = vec![0.0; dim];
    for sums in partial_sums {
        for (mean, sum) in means.iter_mut().zip(sums) {
            *mean += sum;
        }
    }
    for mean in &mut means {
        *mean /= features.num_rows() as f64;
    }
    means
}

/// `sum_i (x_i - mean)(x_i - mean)^T / num_rows`, `[dim, dim]`.
pub(super) fn covariance(features: &FeatureMatrix<'_>, mean: &[f64]) -> Vec<f64> {
    let dim = features.dim();
    let mut product = SymmetricProduct::new(dim);
    let mut block = vec![0.0; BLOCK_LEN.min(features.num_rows()) * dim];
    for rows in features.as_slice().chunks(BLOCK_LEN * dim) {
        let block = &mut block[..rows.len()];
        block.par_chunks_mut(dim).zip(rows.par_chunks(dim)).for_each(|(out, row)| center(row, mean, out));
        let len = rows.len() / dim;
        product.add(Vectors { values: block, count: dim, len, vector_stride: 1, element_stride: dim });
    }
    product.into_matrix(1.0 / features.num_rows() as f64)
}

/// `<x_i - mean, x_j - mean> / num_rows` for all pairs of rows, `[num_rows, num_rows]`: the Gram matrix, which has
/// the nonzero eigenvalues of the covariance.
pub(super) fn gram(features: &FeatureMatrix<'_>, mean: &[f64]) -> Vec<f64> {
    let (num_rows, dim) = (features.num_rows(), features.dim());
    let mut product = SymmetricProduct::new(num_rows);
    let mut block = vec![0.0; num_rows * BLOCK_LEN.min(dim)];
    for first in (0..dim).step_by(BLOCK_LEN) {
        let len = BLOCK_LEN.min(dim - first);
        let block = &mut block[..num_rows * len];
        block.par_chunks_mut(len).enumerate().for_each(|(row, out)| {
            center(&features.row(row)[first..][..len], &mean[first..], out);
        });
        product.add(Vectors { values: block, count: num_rows, len, vector_stride: len, element_stride: 1 });
    }
    product.into_matrix(1.0 / num_rows as f64)
}

/// `weights (X - mean)`, `[num_weights, dim]`: combinations of the centred rows, each with the weights of one row
/// of `weights`, `[num_weights, num_rows]`.
pub(super) fn combine_rows(features: &FeatureMatrix<'_>, mean: &[f64], weights: &[f64]) -> Vec<f64> {
    let (num_rows, dim) = (features.num_rows(), features.dim());
    let count = weights.len() / num_rows;
    let weights =
        Vectors { values: weights, count, len: num_rows, vector_stride: num_rows, element_stride: 1 };
    let firsts: Vec<usize> = (0..dim).step_by(TILE).collect();
    let tiles: Vec<Vec<f64>> = firsts
        .par_iter()
        .map(|&first| {
            let width = TILE.min(dim - first);
            let mut block = vec![0.0; num_rows * width];
            for (row, out) in block.chunks_mut(width).enumerate() {
                center(&features.row(row)[first..][..width], &mean[first..], out);
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

/// `out = values - mean`, element by element.
pub(super) fn center(values: &[f32], mean: &[f64], out: &mut [f64]) {
    for ((out, &value), mean) in out.iter_mut().zip(values).zip(mean) {
        *out = f64::from(value) - mean;
    }
}

/// All inner products among `dim` vectors, summed over pieces of the vectors: the lower triangle in tiles.
struct SymmetricProduct {
    dim: usize,
    tiles: Vec<Tile>,
}

struct Tile {
    first_row: usize,
    first_column: usize,
    num_rows: usize,
    num_columns: usize,
    values: Vec<f64>,
}

impl SymmetricProduct {
    fn new(dim: usize) -> Self {
        let firsts = || (0..dim).step_by(TILE);
        let tiles = firsts()
            .flat_map(|first_row| firsts().map(move |first_column| (first_row, first_column)))
            .filter(|(first_row, first_column)| first_column <= first_row)
            .map(|(first_row, first_column)| {
                let (num_rows, num_columns) = (TILE.min(dim - first_row), TILE.min(dim - first_column));
                Tile {
                    first_row,
                    first_column,
                    num_rows,
                    num_columns,
                    values: vec![0.0; num_rows * num_columns],
                }
            })
            .collect();
        Self { dim, tiles }
    }

    /// Adds the inner products of the `dim` given pieces.
    fn add(&mut self, pieces: Vectors<'_>) {
        self.tiles.par_iter_mut().for_each(|tile| {
            let run = |first: usize, count: usize| Vectors {
                values: &pieces.values[first * pieces.vector_stride..],
                count,
                ..pieces
            };
            let (rows, columns) =
                (run(tile.first_row, tile.num_rows), run(tile.first_column, tile.num_columns));
            add_inner_products(rows, columns, &mut tile.values);
        });
    }

    /// The whole symmetric matrix times `scale`, `[dim, dim]`.
    fn into_matrix(self, scale: f64) -> Vec<f64> {
        let mut matrix = vec![0.0; self.dim * self.dim];
        for tile in self.tiles {
            for (i, row) in (tile.first_row..).zip(tile.values.chunks_exact(tile.num_columns)) {
                for (j, value) in (tile.first_column..).zip(row).take_while(|&(j, _)| j <= i) {
                    matrix[i * self.dim + j] = value * scale;
                    matrix[j * self.dim + i] = value * scale;
                }
            }
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn a_small_matrix_gives_its_hand_computed_moments() {
        let features = array![[1.0_f32, 2.0, 0.0], [3.0, 6.0, 0.0]];
        let features = FeatureMatrix::new(features.view()).unwrap();
        let mean = column_means(&features);
        assert_eq!(mean, [2.0, 4.0, 0.0]);
        // centred rows: (-1, -2, 0), (1, 2, 0)
        assert_eq!(covariance(&features, &mean), [1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(gram(&features, &mean), [2.5, -2.5, -2.5, 2.5]);
        // 1 * (-1, -2, 0) + 3 * (1, 2, 0)
        assert_eq!(combine_rows(&features, &mean, &[1.0, 3.0]), [2.0, 4.0, 0.0]);
    }

    #[test]
    fn blocks_and_tiles_agree_with_plain_sums() {
        let value = |i: usize, j: usize| 1000.0 + ((i * 37 + j * 101 + i * j) % 97) as f32 / 16.0;
        for shape in [(1100, 130), (130, 1100)] {
            let matrix = Array2::from_shape_fn(shape, |(i, j)| value(i, j));
            let features = FeatureMatrix::new(matrix.view()).unwrap();
            let mean = column_means(&features);
            let centered = matrix.mapv(f64::from) - &ndarray::Array1::from(mean.clone());
            let scale = 1.0 / shape.0 as f64;
            let assert_equal = |got: Vec<f64>, expected: Array2<f64>| {
                assert_eq!(got.len(), expected.len());
                for (got, expected) in got.iter().zip(&expected) {
                    assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
                }
            };
            assert_equal(covariance(&features, &mean), centered.t().dot(&centered) * scale);
            assert_equal(gram(&features, &mean), centered.dot(&centered.t()) * scale);
            let weights = Array2::from_shape_fn((2, shape.0), |(i, j)| ((i + j) % 5) as f64);
            let combined = combine_rows(&features, &mean, weights.as_slice().unwrap());
            assert_equal(combined, weights.dot(&centered));
        }
    }
}
