//! A checked feature matrix: contiguous finite rows.

use std::borrow::Cow;

use ndarray::ArrayView2;

use crate::row_check::{check_not_empty, check_rows};
use crate::{ClusteringError, FeatureSource};

/// Sums are taken in so many lanes, in an order that is fixed but leaves room for vector instructions.
const LANES: usize = 8;

/// Sums of squares up to this keep every squared distance, at most four times as large, finite in `f32`.
pub(crate) const LARGEST_SQUARED_NORM: f64 = f32::MAX as f64 / 16.0;

/// Rows of a matrix, checked once and laid out row after row (copied only if the view is not so already).
pub(crate) struct FeatureMatrix<'a> {
    values: Cow<'a, [f32]>,
    dim: usize,
}

impl<'a> FeatureMatrix<'a> {
    /// Checks that `features` is not empty and that every row is finite and not too large.
    pub(crate) fn new(features: ArrayView2<'a, f32>) -> Result<Self, ClusteringError> {
        check_not_empty(&features)?;
        let (num_samples, feature_dim) = features.dim();
        if u32::try_from(num_samples).is_err() {
            return Err(ClusteringError::TooManySamples { num_samples });
        }
        let matrix = Self { values: to_row_major(features), dim: feature_dim };
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

impl FeatureSource for FeatureMatrix<'_> {
    fn num_rows(&self) -> usize {
        self.values.len() / self.dim
    }

    fn feature_dim(&self) -> usize {
        self.dim
    }

    fn rows<'a>(&'a self, first: usize, count: usize, _buffer: &'a mut Vec<f32>) -> &'a [f32] {
        &self.values[first * self.dim..][..count * self.dim]
    }
}

/// Sum of squares of `row`, which is row `index` of the features.
#[inline(always)]
pub(crate) fn checked_squared_norm(row: &[f32], index: usize) -> Result<f64, ClusteringError> {
    let squared_norm = squared_norm(row);
    if squared_norm <= LARGEST_SQUARED_NORM {
        Ok(squared_norm)
    } else if row.iter().all(|value| value.is_finite()) {
        Err(ClusteringError::FeaturesTooLarge { row: index })
    } else {
        Err(ClusteringError::NonFiniteFeatures { row: index })
    }
}

/// Sum of squares of `row`; NaN or infinite where a value is.
#[inline(always)]
pub(crate) fn squared_norm(row: &[f32]) -> f64 {
    let (lanes, tail) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for values in lanes {
        for lane in 0..LANES {
            sums[lane] += f64::from(values[lane]) * f64::from(values[lane]);
        }
    }
    let tail: f64 = tail.iter().map(|&value| f64::from(value).powi(2)).sum();
    sums.iter().sum::<f64>() + tail
}

/// Squared Euclidean distance of two rows of the same length.
#[inline(always)]
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let ((a_lanes, a_tail), (b_lanes, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            let difference = f64::from(a[lane]) - f64::from(b[lane]);
            sums[lane] += difference * difference;
        }
    }
    let tail: f64 = a_tail.iter().zip(b_tail).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    sums.iter().sum::<f64>() + tail
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

    #[test]
    fn distances_include_the_values_after_the_last_full_group_of_lanes() {
        let a: Vec<f32> = (0..11).map(|i| i as f32).collect();
        let b = vec![0.0; 11];
        // 0 + 1 + 4 + ... + 100 = 385
        assert_eq!(squared_distance(&a, &b), 385.0);
        assert_eq!(squared_norm(&a), 385.0);
    }
}
