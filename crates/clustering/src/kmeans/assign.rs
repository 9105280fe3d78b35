//! The nearest centroid of every row.
//!
//! For one block of rows and one tile of centroids at a time, inner products come from a matrix product and
//! `||c||^2 - 2 <x, c>` is minimised. Where the best two values are closer than the rounding error of `f32`, the
//! row is decided in `f64`, so the result is the true nearest centroid.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::ClusteringError;
use crate::feature_matrix::{FeatureMatrix, squared_distance, squared_norm};
use crate::matmul::{inner_products, score_rounding_bound};

const ROWS_PER_BLOCK: usize = 256;
const CENTROIDS_PER_TILE: usize = 512;

/// Accumulators of the scans over a row, enough to fill the vector registers.
const LANES: usize = 16;

/// Finds for each row of `features`, `[num_samples, feature_dim]`, the nearest row of `centroids`,
/// `[num_clusters, feature_dim]`, and the squared Euclidean distance to it.
///
/// Distances are compared as exactly as `f64` can; among equal ones the lowest index wins. The bits do not depend on
/// the number of threads.
///
/// # Errors
/// - [`ClusteringError::DimensionMismatch`]: the matrices differ in their number of columns.
/// - [`ClusteringError::EmptyFeatures`]: a matrix has no rows or no columns.
/// - [`ClusteringError::NonFiniteFeatures`], [`ClusteringError::FeaturesTooLarge`]: names the first bad row, of
///   `features` before `centroids`.
pub fn assign(
    features: ArrayView2<'_, f32>,
    centroids: ArrayView2<'_, f32>,
) -> Result<(Vec<u32>, Vec<f32>), ClusteringError> {
    if features.ncols() != centroids.ncols() {
        return Err(ClusteringError::DimensionMismatch {
            what: "the dimension of the features",
            expected: centroids.ncols(),
            actual: features.ncols(),
        });
    }
    let features = FeatureMatrix::new(features)?;
    let centroids = FeatureMatrix::new(centroids)?;
    Ok(nearest_centroids(&features, centroids.as_slice()))
}

/// [`assign`] of checked rows to `centroids`, `[num_clusters, feature_dim]`, with at least one centroid.
pub(super) fn nearest_centroids(features: &FeatureMatrix<'_>, centroids: &[f32]) -> (Vec<u32>, Vec<f32>) {
    let search = Search::new(features, centroids);
    let mut labels = vec![0; features.num_rows()];
    let mut distances = vec![0.0; features.num_rows()];
    labels
        .par_chunks_mut(ROWS_PER_BLOCK)
        .zip(distances.par_chunks_mut(ROWS_PER_BLOCK))
        .enumerate()
        .for_each_init(Vec::new, |tile, (block, (labels, distances))| {
            search.assign_block(block * ROWS_PER_BLOCK, labels, distances, tile);
        });
    (labels, distances)
}

struct Search<'a> {
    features: &'a FeatureMatrix<'a>,
    centroids: &'a [f32],
    squared_norms: Vec<f32>,
    largest_norm: f64,
}

/// The lowest value seen so far, the next one, and the centroid of the lowest.
#[derive(Clone, Copy)]
struct BestTwo {
    lowest: f32,
    second: f32,
    centroid: usize,
}

impl<'a> Search<'a> {
    fn new(features: &'a FeatureMatrix<'a>, centroids: &'a [f32]) -> Self {
        let squared_norms: Vec<f32> =
            centroids.par_chunks(features.dim()).map(|centroid| squared_norm(centroid) as f32).collect();
        let largest_norm = f64::from(squared_norms.iter().copied().fold(0.0, f32::max)).sqrt();
        Self { features, centroids, squared_norms, largest_norm }
    }

    /// Assigns the rows from `first_row` on; `tile` is scratch memory.
    fn assign_block(&self, first_row: usize, labels: &mut [u32], distances: &mut [f32], tile: &mut Vec<f32>) {
        let dim = self.features.dim();
        let rows = &self.features.as_slice()[first_row * dim..][..labels.len() * dim];
        let none = BestTwo { lowest: f32::INFINITY, second: f32::INFINITY, centroid: 0 };
        let mut best = [none; ROWS_PER_BLOCK];
        for (index, centroids) in self.centroids.chunks(CENTROIDS_PER_TILE * dim).enumerate() {
            let first_centroid = index * CENTROIDS_PER_TILE;
            let num_centroids = centroids.len() / dim;
            tile.resize(labels.len() * num_centroids, 0.0);
            inner_products(rows, centroids, dim, tile);
            let squared_norms = &self.squared_norms[first_centroid..][..num_centroids];
            for (products, best) in tile.chunks_exact(num_centroids).zip(&mut best) {
                best.include(products, squared_norms, first_centroid);
            }
        }
        for (i, row) in rows.chunks_exact(dim).enumerate() {
            let bound = score_rounding_bound(dim, self.features.norm(first_row + i), self.largest_norm);
            let is_certain = f64::from(best[i].second) - f64::from(best[i].lowest) > 2.0 * bound;
            let centroid =
                if is_certain { best[i].centroid } else { self.nearest_in_f64(row, best[i].lowest, bound) };
            labels[i] = centroid as u32;
            distances[i] = squared_distance(row, &self.centroids[centroid * dim..][..dim]) as f32;
        }
    }

    /// The nearest centroid of `row` by distances in `f64`, which are taken only of the centroids that `f32` cannot
    /// rule out: `lowest` is the lowest score found, `bound` the error of a score.
    fn nearest_in_f64(&self, row: &[f32], lowest: f32, bound: f64) -> usize {
        let mut nearest = (f64::INFINITY, 0);
        for (index, centroid) in self.centroids.chunks_exact(row.len()).enumerate() {
            let score = f64::from(self.squared_norms[index] - 2.0 * inner_product(row, centroid));
            if score - f64::from(lowest) <= 2.0 * bound {
                let distance = squared_distance(row, centroid);
                if distance < nearest.0 {
                    nearest = (distance, index);
                }
            }
        }
        nearest.1
    }
}

impl BestTwo {
    /// Takes into account the centroids from `first_centroid` on, of which `products` holds the inner products with
    /// the row.
    fn include(&mut self, products: &[f32], squared_norms: &[f32], first_centroid: usize) {
        let mut lowest = [f32::INFINITY; LANES];
        let mut second = [f32::INFINITY; LANES];
        let (product_lanes, product_tail) = products.as_chunks::<LANES>();
        let (norm_lanes, norm_tail) = squared_norms.as_chunks::<LANES>();
        for (products, norms) in product_lanes.iter().zip(norm_lanes) {
            for lane in 0..LANES {
                let score = norms[lane] - 2.0 * products[lane];
                second[lane] = lower(second[lane], higher(lowest[lane], score));
                lowest[lane] = lower(lowest[lane], score);
            }
        }
        let mut tile = BestTwo { lowest: f32::INFINITY, second: f32::INFINITY, centroid: 0 };
        let tail = product_tail.iter().zip(norm_tail).map(|(product, norm)| norm - 2.0 * product);
        for (lowest, second) in lowest.into_iter().zip(second).chain(tail.map(|score| (score, f32::INFINITY)))
        {
            tile.second = lower(tile.second, lower(second, higher(tile.lowest, lowest)));
            tile.lowest = lower(tile.lowest, lowest);
        }
        self.second = lower(self.second, lower(tile.second, higher(self.lowest, tile.lowest)));
        if tile.lowest < self.lowest {
            let is_lowest = |(product, norm): (&f32, &f32)| norm - 2.0 * product == tile.lowest;
            let position = products.iter().zip(squared_norms).position(is_lowest);
            self.centroid = first_centroid + position.expect("the lowest score was read from this tile");
            self.lowest = tile.lowest;
        }
    }
}

/// `f32::min` without its handling of NaN, which cannot occur: one instruction.
fn lower(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

fn higher(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

fn inner_product(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_tail) = a.as_chunks::<LANES>();
    let (b_lanes, b_tail) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let tail: f32 = a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array, s};

    use super::*;

    #[test]
    fn each_row_gets_its_nearest_centroid_and_the_distance_to_it() {
        let features = array![[0.0_f32, 0.0], [3.0, 4.0], [10.0, 0.0]];
        let centroids = array![[9.0_f32, 1.0], [0.0, 1.0]];
        let (labels, distances) = assign(features.view(), centroids.view()).unwrap();
        assert_eq!(labels, [1, 1, 0]);
        // 0 + 1, 9 + 9, 1 + 1
        assert_eq!(distances, [1.0, 18.0, 2.0]);
    }

    #[test]
    fn equal_distances_go_to_the_lowest_index_across_tiles() {
        // Copies of one centroid at the ends of several tiles, and all others farther away.
        let mut centroids = Array2::<f32>::from_elem((1300, 3), 5.0);
        for copy in [511, 512, 1299] {
            centroids.slice_mut(s![copy, ..]).fill(0.25);
        }
        let (labels, distances) = assign(array![[0.0_f32, 0.0, 0.0]].view(), centroids.view()).unwrap();
        assert_eq!(labels, [511]);
        assert_eq!(distances, [0.1875]);
    }

    #[test]
    fn differences_below_the_precision_of_f32_scores_are_still_told_apart() {
        // ||c||^2 is about 1e6, where f32 resolves 0.06; the distances differ by 1e-6.
        let row = array![[1000.0_f32, 1.0, 1.0]];
        let centroids = array![[1000.0_f32, 1.0, 1.001], [1000.0, 1.0, 1.0009], [1000.0, 1.0, 1.0011]];
        let (labels, distances) = assign(row.view(), centroids.view()).unwrap();
        assert_eq!(labels, [1]);
        assert!((distances[0] - 8.1e-7).abs() < 1e-8);
    }

    #[test]
    fn labels_equal_a_plain_scan_for_sizes_around_blocks_and_tiles() {
        for (num_rows, num_centroids, dim) in [(1, 1, 1), (257, 513, 7), (300, 17, 33), (255, 16, 4)] {
            let value =
                |i: usize, j: usize, salt: usize| ((i * 7919 + j * 104_729 + salt) % 1009) as f32 / 100.0;
            let features = Array2::from_shape_fn((num_rows, dim), |(i, j)| value(i, j, 0));
            let centroids = Array2::from_shape_fn((num_centroids, dim), |(i, j)| value(i, j, 501));
            let (labels, distances) = assign(features.view(), centroids.view()).unwrap();
            for (row, features) in features.rows().into_iter().enumerate() {
                let squared = |c: usize| -> f64 {
                    (0..dim).map(|j| (f64::from(features[j]) - f64::from(centroids[[c, j]])).powi(2)).sum()
                };
                let nearest = (0..num_centroids).min_by(|&a, &b| squared(a).total_cmp(&squared(b))).unwrap();
                assert_eq!(labels[row] as usize, nearest);
                assert!((f64::from(distances[row]) - squared(nearest)).abs() <= 1e-6 * squared(nearest));
            }
        }
    }
}
