//! The check of features before a clustering: finite values, and their largest magnitudes.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::ClusteringError;
use crate::rows::distance::checked_squared_norm;
use crate::rows::host::HostRows;
use crate::simd::Instructions;

const ROWS_PER_BLOCK: usize = 1024;

/// Checks that `source` is not empty and that every row is finite and not too large; returns the largest
/// magnitude of each column, `[feature_dim]`.
///
/// # Errors
/// - [`ClusteringError::EmptyFeatures`]: no rows or no columns.
/// - [`ClusteringError::NonFiniteFeatures`], [`ClusteringError::FeaturesTooLarge`]: names the first bad row.
pub(crate) fn checked_column_maxima(source: &dyn HostRows) -> Result<Vec<f32>, ClusteringError> {
    check_not_empty(source)?;
    let (num_rows, dim) = (source.num_rows(), source.feature_dim());
    let num_blocks = num_rows.div_ceil(ROWS_PER_BLOCK);
    // Enough parts to share the work, few enough that their maxima are small beside the features.
    let blocks_per_part = num_blocks.div_ceil(256);
    let parts: Vec<Result<Vec<f32>, ClusteringError>> = (0..num_blocks.div_ceil(blocks_per_part))
        .into_par_iter()
        .map(|part| {
            let first = part * blocks_per_part * ROWS_PER_BLOCK;
            let last = (first + blocks_per_part * ROWS_PER_BLOCK).min(num_rows);
            part_maxima(source, first..last)
        })
        .collect();
    let mut maxima = vec![0.0; dim];
    for part in parts {
        take_larger(&mut maxima, &part?);
    }
    Ok(maxima)
}

/// # Errors
/// - [`ClusteringError::EmptyFeatures`]: no rows or no columns.
pub(crate) fn check_not_empty(source: &dyn HostRows) -> Result<(), ClusteringError> {
    let (num_samples, feature_dim) = (source.num_rows(), source.feature_dim());
    if num_samples == 0 || feature_dim == 0 {
        return Err(ClusteringError::EmptyFeatures { num_samples, feature_dim });
    }
    Ok(())
}

/// Checks that every row is finite and not too large.
///
/// # Errors
/// - [`ClusteringError::NonFiniteFeatures`], [`ClusteringError::FeaturesTooLarge`]: names the first bad row.
pub(crate) fn check_rows(source: &dyn HostRows) -> Result<(), ClusteringError> {
    let (num_rows, dim) = (source.num_rows(), source.feature_dim());
    let first_error = FirstError::default();
    (0..num_rows.div_ceil(ROWS_PER_BLOCK)).into_par_iter().for_each_init(Vec::new, |buffer, block| {
        let first = block * ROWS_PER_BLOCK;
        first_error.check(source.read_rows(first, ROWS_PER_BLOCK.min(num_rows - first), buffer), first, dim);
    });
    first_error.into_result()
}

/// The error of the first bad row, when blocks of rows are checked in any order.
#[derive(Debug, Default)]
pub(crate) struct FirstError(Mutex<Option<(usize, ClusteringError)>>);

impl FirstError {
    /// Whether all of `rows`, of which the first is row `first` of the features, are sound; notes the error
    /// if not.
    pub(crate) fn check(&self, rows: &[f32], first: usize, dim: usize) -> bool {
        let error = Instructions::best().compile_for(
            #[inline(always)]
            || {
                for (row, index) in rows.chunks_exact(dim).zip(first..) {
                    if let Err(error) = checked_squared_norm(row, index) {
                        return Some((index, error));
                    }
                }
                None
            },
        );
        let Some((index, error)) = error else { return true };
        let mut first_error = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first_error.as_ref().is_none_or(|&(first, _)| index < first) {
            *first_error = Some((index, error));
        }
        false
    }

    /// # Errors
    /// The error of the lowest row that was found bad.
    pub(crate) fn into_result(self) -> Result<(), ClusteringError> {
        let first_error = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        first_error.map_or(Ok(()), |(_, error)| Err(error))
    }
}

fn part_maxima(source: &dyn HostRows, rows: std::ops::Range<usize>) -> Result<Vec<f32>, ClusteringError> {
    let dim = source.feature_dim();
    let mut maxima = vec![0.0; dim];
    let mut buffer = Vec::new();
    for first in rows.clone().step_by(ROWS_PER_BLOCK) {
        let count = ROWS_PER_BLOCK.min(rows.end - first);
        let rows = source.read_rows(first, count, &mut buffer);
        Instructions::best().compile_for(
            #[inline(always)]
            || {
                for (row, index) in rows.chunks_exact(dim).zip(first..) {
                    checked_squared_norm(row, index)?;
                    take_larger(&mut maxima, row);
                }
                Ok(())
            },
        )?;
    }
    Ok(maxima)
}

#[inline(always)]
fn take_larger(maxima: &mut [f32], values: &[f32]) {
    for (maximum, value) in maxima.iter_mut().zip(values) {
        let magnitude = value.abs();
        *maximum = if magnitude > *maximum { magnitude } else { *maximum };
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn the_largest_magnitude_of_each_column_is_found() {
        let mut features = Array2::<f32>::zeros((5000, 3));
        features[[17, 0]] = -2.0;
        features[[4999, 2]] = 7.0;
        assert_eq!(checked_column_maxima(&features.view()).unwrap(), [2.0, 0.0, 7.0]);
    }

    #[test]
    fn the_first_bad_row_is_named_even_when_a_later_part_has_another() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut features = Array2::<f32>::zeros((3000, 3));
            features[[2500, 0]] = bad;
            features[[1100, 2]] = bad;
            let error = checked_column_maxima(&features.view()).unwrap_err();
            assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 1100 }));
        }
        let error = checked_column_maxima(&array![[0.0_f32], [3e19]].view()).unwrap_err();
        assert!(matches!(error, ClusteringError::FeaturesTooLarge { row: 1 }));
        let error = checked_column_maxima(&Array2::<f32>::zeros((0, 2)).view()).unwrap_err();
        assert!(matches!(error, ClusteringError::EmptyFeatures { num_samples: 0, feature_dim: 2 }));
    }
}
