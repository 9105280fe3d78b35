//! The checked samples of a run with their weights.

use crate::error::ClusteringError;
use crate::kmeans::cluster_sums::{FixedPoint, check_weights};
use crate::rows::checked::checked_column_maxima;
use crate::rows::host::HostRows;

/// Samples to be clustered: at least one, all finite.
pub(super) struct Samples<'a> {
    pub(super) source: &'a dyn HostRows,
    weights: Option<&'a [f32]>,
    /// How values are added up exactly.
    pub(super) fixed_point: FixedPoint,
}

impl<'a> Samples<'a> {
    pub(super) fn new(source: &'a dyn HostRows, weights: Option<&'a [f32]>) -> Result<Self, ClusteringError> {
        let column_maxima = checked_column_maxima(source)?;
        let num_samples = source.num_rows();
        let largest_weight = weights.map_or(Ok(1.0), |weights| check_weights(weights, num_samples))?;
        let fixed_point = FixedPoint::new(&column_maxima, largest_weight, num_samples);
        Ok(Self { source, weights, fixed_point })
    }

    pub(super) fn len(&self) -> usize {
        self.source.num_rows()
    }

    pub(super) fn dim(&self) -> usize {
        self.source.feature_dim()
    }

    pub(super) fn weight(&self, index: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[index])
    }

    /// Copies of the samples of these numbers, one after the other.
    pub(super) fn gather(&self, indices: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let mut buffer = Vec::new();
        let mut rows = Vec::new();
        for index in indices {
            rows.extend_from_slice(self.source.read_rows(index, 1, &mut buffer));
        }
        rows
    }

    /// The weights of the samples of these numbers, if samples have weights.
    pub(super) fn gather_weights(&self, indices: &[usize]) -> Option<Vec<f32>> {
        self.weights.map(|weights| indices.iter().map(|&index| weights[index]).collect())
    }
}
