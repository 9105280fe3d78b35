//! A checked feature matrix: contiguous finite rows.

use std::borrow::Cow;

use ndarray::ArrayView2;

use crate::error::ClusteringError;
use crate::rows::checked::{check_not_empty, check_rows};
use crate::rows::host::HostRows;

/// Rows of a matrix, checked once and laid out row after row (copied only if the view is not so already).
pub(crate) struct FeatureMatrix<'a> {
    values: Cow<'a, [f32]>,
    dim: usize,
}

impl<'a> FeatureMatrix<'a> {
    /// Checks that `features` is not empty and that every row is finite and not too large.
    pub(crate) fn new(features: ArrayView2<'a, f32>) -> Result<Self, ClusteringError> {
        check_not_empty(&features)?;
        Self::checked(to_row_major(features), features.ncols())
    }

    /// As [`new`](Self::new) for rows from any source, which are read to `buffer` where they do not lie in
    /// memory.
    pub(crate) fn read(source: &'a dyn HostRows, buffer: &'a mut Vec<f32>) -> Result<Self, ClusteringError> {
        check_not_empty(source)?;
        Self::checked(source.read_rows(0, source.num_rows(), buffer).into(), source.feature_dim())
    }

    fn checked(values: Cow<'a, [f32]>, dim: usize) -> Result<Self, ClusteringError> {
        let matrix = Self { values, dim };
        let num_samples = matrix.num_rows();
        if u32::try_from(num_samples).is_err() {
            return Err(ClusteringError::TooManySamples { num_samples });
        }
        check_rows(&matrix)?;
        Ok(matrix)
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// All rows, one after the other.
    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.as_slice()[index * self.dim()..][..self.dim()]
    }
}

impl HostRows for FeatureMatrix<'_> {
    fn num_rows(&self) -> usize {
        self.values.len() / self.dim
    }

    fn feature_dim(&self) -> usize {
        self.dim
    }

    fn read_rows<'a>(&'a self, first: usize, count: usize, _buffer: &'a mut Vec<f32>) -> &'a [f32] {
        &self.values[first * self.dim..][..count * self.dim]
    }
}

fn to_row_major(features: ArrayView2<'_, f32>) -> Cow<'_, [f32]> {
    match features.to_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(features.iter().copied().collect()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn a_transposed_view_is_laid_out_row_by_row() {
        let features = array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let matrix = FeatureMatrix::new(features.t()).unwrap();
        assert_eq!(matrix.as_slice(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(matrix.row(2), [3.0, 6.0]);
    }

    #[test]
    fn the_first_bad_row_is_named_even_when_a_later_block_has_another() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut features = Array2::<f32>::zeros((3000, 3));
            features[[2500, 0]] = bad;
            features[[1100, 2]] = bad;
            let error = FeatureMatrix::new(features.view()).err().unwrap();
            assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 1100 }));
        }
    }

    #[test]
    fn rows_beyond_the_range_of_squared_distances_are_refused() {
        let features = array![[0.0_f32, 1.0], [3e19, 0.0]];
        let error = FeatureMatrix::new(features.view()).err().unwrap();
        assert!(matches!(error, ClusteringError::FeaturesTooLarge { row: 1 }));
    }
}
