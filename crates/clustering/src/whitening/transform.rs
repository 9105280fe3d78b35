//! Applies a fitted whitening.

use ndarray::Array2;
use rayon::prelude::*;

use super::Whitening;
use super::projection::{Projection, Scratch};
use crate::error::ClusteringError;
use crate::rows::distance::checked_squared_norm;
use crate::rows::host::HostRows;
use crate::rows::{Place, Rows};

const ROWS_PER_BLOCK: usize = 128;

/// Blocks that are whitened before they are passed on.
const BLOCKS_PER_PASS: usize = 64;

impl Whitening {
    /// Whitens `features`, `[num_samples, feature_dim]`, to `[num_samples, num_components]`.
    ///
    /// Rows are centred in `f64`. They are multiplied in `f64`, or from 2048 dimensions on in `f32` over
    /// pieces of 256 dimensions whose products are summed in `f64`; the error is then about that of rounding
    /// the centred features to `f32`. Rows do not depend on each other up to rounding. The bits do not depend
    /// on the number of threads.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: the features have another dimension than the fitted ones.
    /// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
    ///   [`ClusteringError::FeaturesTooLarge`]: the features cannot be whitened.
    pub fn transform(&self, rows: &dyn Rows) -> Result<Array2<f32>, ClusteringError> {
        match rows.place() {
            Place::Host(rows) => self.transform_on_host(rows),
            Place::Device(rows) => self.transform_on_host(&rows.to_host()?),
        }
    }

    fn transform_on_host(&self, source: &dyn HostRows) -> Result<Array2<f32>, ClusteringError> {
        self.check(source)?;
        let mut rows = Array2::zeros((source.num_rows(), self.num_components()));
        if let Some(rows) = rows.as_slice_mut() {
            self.transform_rows(source, &Projection::new(self), 0, rows)?;
        }
        Ok(rows)
    }

    /// Whitens the rows of `source` and passes them to `sink` in order, block by block, each block `[_,
    /// num_components]`: the rows of [`transform`](Self::transform), for more of them than fit in memory.
    ///
    /// # Errors
    /// Those of [`transform`](Self::transform), after `sink` has received the blocks before the bad row, and
    /// those of `sink`, which end the reading.
    pub fn transform_blocks(
        &self,
        source: &dyn HostRows,
        mut sink: impl FnMut(&[f32]) -> Result<(), ClusteringError>,
    ) -> Result<(), ClusteringError> {
        self.check(source)?;
        let projection = Projection::new(self);
        let rows_per_pass = ROWS_PER_BLOCK * BLOCKS_PER_PASS;
        let mut rows = vec![0.0; rows_per_pass.min(source.num_rows()) * self.num_components()];
        for first in (0..source.num_rows()).step_by(rows_per_pass) {
            let count = rows_per_pass.min(source.num_rows() - first);
            let rows = &mut rows[..count * self.num_components()];
            self.transform_rows(source, &projection, first, rows)?;
            sink(rows)?;
        }
        Ok(())
    }

    fn check(&self, source: &dyn HostRows) -> Result<(), ClusteringError> {
        let (num_samples, feature_dim) = (source.num_rows(), source.feature_dim());
        if feature_dim != self.feature_dim() {
            return Err(ClusteringError::DimensionMismatch {
                what: "the dimension of the features",
                expected: self.feature_dim(),
                actual: feature_dim,
            });
        }
        if num_samples == 0 {
            return Err(ClusteringError::EmptyFeatures { num_samples, feature_dim });
        }
        Ok(())
    }

    /// Whitens the rows from `first` on, as many as `out` has.
    fn transform_rows(
        &self,
        source: &dyn HostRows,
        projection: &Projection<'_>,
        first: usize,
        out: &mut [f32],
    ) -> Result<(), ClusteringError> {
        let num_components = self.num_components();
        let blocks = out.par_chunks_mut(ROWS_PER_BLOCK * num_components).enumerate().map_init(
            || (Vec::new(), Scratch::default()),
            |(buffer, scratch), (block, out)| {
                let first = first + block * ROWS_PER_BLOCK;
                let rows = source.read_rows(first, out.len() / num_components, buffer);
                for (row, index) in rows.chunks_exact(self.feature_dim()).zip(first..) {
                    checked_squared_norm(row, index)?;
                }
                let products = projection.apply(rows, scratch);
                for (products, out) in
                    products.chunks_exact(num_components).zip(out.chunks_exact_mut(num_components))
                {
                    let norm = if self.normalize { norm(products) } else { 1.0 };
                    for (out, product) in out.iter_mut().zip(products) {
                        *out = if norm > 0.0 { (product / norm) as f32 } else { 0.0 };
                    }
                }
                Ok(())
            },
        );
        // The first error in the order of the rows, not of the clock.
        blocks.collect::<Vec<_>>().into_iter().collect()
    }
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::whitening::WhiteningConfig;

    #[test]
    fn rows_are_centred_projected_scaled_and_normalised() {
        let whitening =
            Whitening { mean: vec![1.0, 2.0], components: vec![2.0, 0.0, 0.0, 1.0], normalize: true };
        let rows = whitening.transform(&array![[2.5_f32, 6.0], [1.0, 0.0], [1.0, 2.0]]).unwrap();
        // (3, 4) / 5, (0, -2) / 2, and the mean itself, which has no direction
        assert_eq!(rows, array![[0.6_f32, 0.8], [0.0, -1.0], [0.0, 0.0]]);
        let plain = Whitening { normalize: false, ..whitening };
        assert_eq!(plain.transform(&array![[2.5_f32, 6.0]]).unwrap(), array![[3.0_f32, 4.0]]);
    }

    #[test]
    fn whitened_components_are_uncorrelated_with_unit_variance_despite_a_large_mean() {
        let value = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * i * (j + 3)) % 1009) as f32 / 1009.0;
        let features =
            Array2::from_shape_fn((700, 12), |(i, j)| 1000.0 + value(i, j) + 2.0 * value(i, 3) * j as f32);
        let config = WhiteningConfig { num_components: 5, normalize: false, ..Default::default() };
        let rows = config.fit(&features).unwrap().transform(&features).unwrap().mapv(f64::from);
        let covariance = rows.t().dot(&rows) / 700.0;
        for ((i, j), value) in covariance.indexed_iter() {
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 1e-6, "covariance of {i} and {j}: {value}");
        }
        assert!(rows.mean_axis(ndarray::Axis(0)).unwrap().iter().all(|mean| mean.abs() < 1e-6));
    }

    #[test]
    fn equal_features_become_zero_rows() {
        let features = Array2::from_elem((3, 4), 0.1_f32);
        let whitening = WhiteningConfig::default().fit(&features).unwrap();
        assert_eq!(whitening.transform(&features).unwrap(), Array2::<f32>::zeros((3, 1)));
        assert_eq!(whitening.transform(&array![[5.0_f32, 6.0, 7.0, 8.0]]).unwrap(), array![[0.0_f32]]);
    }

    #[test]
    fn other_dimensions_and_bad_rows_are_refused() {
        let whitening = WhiteningConfig::default().fit(&array![[0.0_f32, 1.0], [1.0, 0.0]]).unwrap();
        let error = whitening.transform(&array![[0.0_f32, 1.0, 2.0]]).unwrap_err();
        assert!(matches!(error, ClusteringError::DimensionMismatch { expected: 2, actual: 3, .. }));
        let error = whitening.transform(&array![[0.0_f32, f32::INFINITY]]).unwrap_err();
        assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 0 }));
        let error = whitening.transform(&Array2::zeros((0, 2))).unwrap_err();
        assert!(matches!(error, ClusteringError::EmptyFeatures { .. }));
    }

    #[test]
    fn a_source_gives_the_rows_of_the_matrix_in_order_and_the_errors_of_the_sink() {
        let features = Array2::from_shape_fn((9000, 3), |(i, j)| ((i * 31 + j * 17 + i * j) % 101) as f32);
        let whitening = WhiteningConfig::default().fit(&features).unwrap();
        let (mut rows, mut num_blocks) = (Vec::new(), 0);
        let result = whitening.transform_blocks(&features.view(), |block| {
            rows.extend_from_slice(block);
            num_blocks += 1;
            Ok(())
        });
        assert!(result.is_ok() && num_blocks == 2);
        assert!(rows == whitening.transform(&features).unwrap().into_raw_vec_and_offset().0);
        let result = whitening.transform_blocks(&features.view(), |_| Err(ClusteringError::Cancelled));
        assert!(matches!(result, Err(ClusteringError::Cancelled)));
    }

    #[test]
    fn the_first_bad_row_is_named() {
        let whitening = WhiteningConfig::default().fit(&array![[0.0_f32, 1.0], [1.0, 0.0]]).unwrap();
        let mut features = Array2::<f32>::zeros((3000, 2));
        features[[2900, 0]] = f32::NAN;
        features[[1100, 1]] = 1e30;
        let error = whitening.transform(&features).unwrap_err();
        assert!(matches!(error, ClusteringError::FeaturesTooLarge { row: 1100 }));
    }
}
