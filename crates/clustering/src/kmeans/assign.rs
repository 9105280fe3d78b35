//! The nearest centroid of every row.

use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::ClusteringError;
use crate::rows::checked::{FirstError, check_not_empty};
use crate::rows::host::HostRows;
use crate::rows::matrix::FeatureMatrix;
use crate::rows::{Place, Rows};
use crate::scan::database::Database;
use crate::scan::{Nearest, ROWS_PER_BLOCK, Scan};
use crate::simd::Instructions;

/// Arithmetic of the first pass of the search for nearest rows. It affects speed, never results: rows that it
/// cannot tell apart are compared again in higher precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScanPrecision {
    /// 8-bit integers where the processor is fast at them (AVX-512 VNNI), otherwise `f32`.
    #[default]
    Auto,
    /// Single precision.
    F32,
}

/// Finds for each row of `features`, `[num_samples, feature_dim]`, the nearest row of `centroids`,
/// `[num_clusters, feature_dim]`, and the squared Euclidean distance to it.
///
/// Distances are compared as exactly as `f64` can; among equal ones the lowest index wins. The bits depend
/// neither on the number of threads nor on the processor.
///
/// # Errors
/// - [`ClusteringError::DimensionMismatch`]: the matrices differ in their number of columns.
/// - [`ClusteringError::EmptyFeatures`]: a matrix has no rows or no columns.
/// - [`ClusteringError::NonFiniteFeatures`], [`ClusteringError::FeaturesTooLarge`]: names the first bad row,
///   of `features` before `centroids`.
pub fn assign(
    rows: &dyn Rows,
    centroids: ArrayView2<'_, f32>,
    precision: ScanPrecision,
) -> Result<(Vec<u32>, Vec<f32>), ClusteringError> {
    match rows.place() {
        Place::Host(rows) => assign_on_host(rows, centroids, precision),
        Place::Device(rows) => assign_on_host(&rows.to_host()?, centroids, precision),
    }
}

fn assign_on_host(
    features: &dyn HostRows,
    centroids: ArrayView2<'_, f32>,
    precision: ScanPrecision,
) -> Result<(Vec<u32>, Vec<f32>), ClusteringError> {
    if features.feature_dim() != centroids.ncols() {
        return Err(ClusteringError::DimensionMismatch {
            what: "the dimension of the features",
            expected: centroids.ncols(),
            actual: features.feature_dim(),
        });
    }
    check_not_empty(features)?;
    let centroids = FeatureMatrix::new(centroids)?;
    let database = database(centroids.as_slice(), centroids.dim(), precision);
    let mut labels = vec![NO_LABEL; features.num_rows()];
    let mut squared_distances = vec![0.0; features.num_rows()];
    let first_error = FirstError::default();
    let take = |block: AssignedBlock<'_>| block.write_nearest();
    for_each_block(features, &database, &mut labels, &mut squared_distances, Some(&first_error), take);
    first_error.into_result()?;
    Ok((labels, squared_distances))
}

/// The label of a sample that has none yet: no cluster has this number.
pub(super) const NO_LABEL: u32 = u32::MAX;

/// Centroids prepared for [`for_each_block`].
pub(super) fn database(centroids: &[f32], dim: usize, precision: ScanPrecision) -> Database<'_> {
    let instructions = Instructions::best();
    let use_int8 = precision == ScanPrecision::Auto && instructions.has_int8();
    Database::new(centroids, dim, instructions, use_int8)
}

/// A block of samples with the nearest centroid of each, and their labels and distances so far.
pub(super) struct AssignedBlock<'a> {
    pub(super) first: usize,
    /// `[labels.len(), dim]`
    pub(super) rows: &'a [f32],
    pub(super) nearest: &'a [Nearest],
    pub(super) labels: &'a mut [u32],
    pub(super) squared_distances: &'a mut [f32],
}

impl AssignedBlock<'_> {
    pub(super) fn write_nearest(self) {
        for ((label, distance), near) in self.labels.iter_mut().zip(self.squared_distances).zip(self.nearest)
        {
            *label = near.index;
            *distance = near.squared_distance as f32;
        }
    }
}

/// Finds the nearest centroids of all rows and hands them to `take`, block by block in no fixed order,
/// together with the places of the block in `labels` and `squared_distances`. A label that names a centroid
/// counts as a guess. Rows that were not checked before are checked if there is a place for the first error;
/// blocks with one are left out.
pub(super) fn for_each_block(
    features: &dyn HostRows,
    centroids: &Database<'_>,
    labels: &mut [u32],
    squared_distances: &mut [f32],
    first_error: Option<&FirstError>,
    take: impl Fn(AssignedBlock<'_>) + Sync,
) {
    let num_centroids = centroids.num_rows();
    labels
        .par_chunks_mut(ROWS_PER_BLOCK)
        .zip(squared_distances.par_chunks_mut(ROWS_PER_BLOCK))
        .enumerate()
        .for_each_init(
            || {
                let none = Nearest { index: 0, squared_distance: 0.0 };
                (Scan::new(centroids, 1), Vec::new(), [none; ROWS_PER_BLOCK])
            },
            |(scan, buffer, nearest), (block, (labels, squared_distances))| {
                let first = block * ROWS_PER_BLOCK;
                let rows = features.read_rows(first, labels.len(), buffer);
                if first_error.is_some_and(|error| !error.check(rows, first, centroids.dim())) {
                    return;
                }
                let nearest = &mut nearest[..labels.len()];
                scan.nearest(
                    rows,
                    |row| Some(labels[row]).filter(|&label| (label as usize) < num_centroids),
                    nearest,
                );
                take(AssignedBlock { first, rows, nearest, labels, squared_distances });
            },
        );
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array, s};

    use super::*;

    #[test]
    fn rows_go_to_the_nearest_centroid_with_their_squared_distance() {
        let features = array![[0.0_f32, 0.0], [3.0, 4.0], [10.0, 0.0]];
        let centroids = array![[9.0_f32, 1.0], [0.0, 1.0]];
        let (labels, distances) = assign(&features, centroids.view(), ScanPrecision::Auto).unwrap();
        assert_eq!(labels, [1, 1, 0]);
        // 0 + 1, 9 + 9, 1 + 1
        assert_eq!(distances, [1.0, 18.0, 2.0]);
    }

    #[test]
    fn equal_distances_go_to_the_lowest_index() {
        // Copies of one centroid far from each other, and all others farther away.
        let mut centroids = Array2::<f32>::from_elem((1300, 3), 5.0);
        for copy in [511, 512, 1299] {
            centroids.slice_mut(s![copy, ..]).fill(0.25);
        }
        let (labels, distances) =
            assign(&array![[0.0_f32, 0.0, 0.0]], centroids.view(), ScanPrecision::Auto).unwrap();
        assert_eq!(labels, [511]);
        assert_eq!(distances, [0.1875]);
    }

    #[test]
    fn differences_below_the_precision_of_f32_scores_are_still_told_apart() {
        // ||c||^2 is about 1e6, where f32 resolves 0.06; the distances differ by 1e-6.
        let row = array![[1000.0_f32, 1.0, 1.0]];
        let centroids = array![[1000.0_f32, 1.0, 1.001], [1000.0, 1.0, 1.0009], [1000.0, 1.0, 1.0011]];
        let (labels, distances) = assign(&row, centroids.view(), ScanPrecision::Auto).unwrap();
        assert_eq!(labels, [1]);
        assert!((distances[0] - 8.1e-7).abs() < 1e-8);
    }

    #[test]
    fn the_first_bad_row_is_named_even_when_a_later_block_has_another() {
        let mut features = Array2::<f32>::zeros((3000, 3));
        features[[2500, 0]] = f32::NAN;
        features[[1100, 2]] = f32::INFINITY;
        let error = assign(&features, array![[0.0_f32, 0.0, 0.0]].view(), ScanPrecision::Auto).unwrap_err();
        assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 1100 }));
    }

    #[test]
    fn both_precisions_find_the_same() {
        let value = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * j) % 1009) as f32 / 100.0;
        let features = Array2::from_shape_fn((500, 33), |(i, j)| value(i, j));
        let centroids = Array2::from_shape_fn((70, 33), |(i, j)| value(i + 1000, j));
        let assign = |precision| super::assign(&features, centroids.view(), precision).unwrap();
        assert_eq!(assign(ScanPrecision::Auto), assign(ScanPrecision::F32));
    }
}
