//! Features in memory, as `f32` or at half the size.

use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::ArrayView2;

use crate::error::ClusteringError;
use crate::rows::file::FeatureType;
use crate::rows::file::beyond_f16;
use crate::rows::host::HostRows;

/// Rows of features that are appended batch by batch and kept as the type that was chosen.
///
/// Halves take half the memory; each value is rounded to 11 significant bits.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFeatures {
    feature_dim: usize,
    values: Values,
}

/// `[num_rows, feature_dim]`
#[derive(Debug, Clone, PartialEq)]
enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl StoredFeatures {
    /// No rows yet, of `feature_dim` values each, and room for `capacity` of them, as far as memory has that
    /// now.
    pub fn with_capacity(feature_type: FeatureType, capacity: usize, feature_dim: usize) -> Self {
        let num_values = capacity.saturating_mul(feature_dim);
        let values = match feature_type {
            FeatureType::F32 => Values::F32(with_room_for(num_values)),
            FeatureType::F16 => Values::F16(with_room_for(num_values)),
        };
        Self { feature_dim, values }
    }

    /// Adds rows, `[_, feature_dim]`.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: rows of another length.
    /// - [`ClusteringError::BeyondF16`]: a finite value that halves cannot hold.
    pub fn append(&mut self, rows: ArrayView2<'_, f32>) -> Result<(), ClusteringError> {
        if rows.ncols() != self.feature_dim {
            return Err(ClusteringError::DimensionMismatch {
                what: "the dimension of the features",
                expected: self.feature_dim,
                actual: rows.ncols(),
            });
        }
        let first = self.num_rows();
        match &mut self.values {
            Values::F32(values) => values.extend(rows),
            Values::F16(values) => {
                for (row, index) in rows.outer_iter().zip(first..) {
                    if let Some(value) = beyond_f16(row) {
                        return Err(ClusteringError::BeyondF16 { row: index, value });
                    }
                }
                values.extend(rows.iter().map(|&value| f16::from_f32(value)));
            }
        }
        Ok(())
    }
}

/// The capacity only saves copies: without it, memory grows with the rows that arrive.
fn with_room_for<T>(num_values: usize) -> Vec<T> {
    let mut values = Vec::new();
    let _ = values.try_reserve_exact(num_values);
    values
}

impl HostRows for StoredFeatures {
    fn num_rows(&self) -> usize {
        let num_values = match &self.values {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
        };
        num_values.checked_div(self.feature_dim).unwrap_or(0)
    }

    fn feature_dim(&self) -> usize {
        self.feature_dim
    }

    fn read_rows<'a>(&'a self, first: usize, count: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let range = first * self.feature_dim..(first + count) * self.feature_dim;
        match &self.values {
            Values::F32(values) => &values[range],
            Values::F16(values) => {
                buffer.resize(range.len(), 0.0);
                values[range].convert_to_f32_slice(buffer);
                buffer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::whitening::WhiteningConfig;

    #[test]
    fn rows_come_back_in_order_rounded_to_the_type() {
        // 2049 lies between the halves 2048 and 2050.
        for (feature_type, rounded) in [(FeatureType::F32, 2049.0), (FeatureType::F16, 2048.0)] {
            let mut features = StoredFeatures::with_capacity(feature_type, 3, 2);
            features.append(array![[1.0, 2.0]].view()).unwrap();
            features.append(array![[-0.5, 2049.0], [0.0, 3.0]].view()).unwrap();
            assert_eq!((features.num_rows(), features.feature_dim()), (3, 2));
            let mut buffer = Vec::new();
            assert_eq!(features.read_rows(1, 2, &mut buffer), [-0.5, rounded, 0.0, 3.0]);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut features = StoredFeatures::with_capacity(FeatureType::F16, 2, 2);
        features.append(array![[1.0, f32::NAN]].view()).unwrap();
        let error = features.append(array![[1.0, 1.0], [-7e4, 1.0]].view()).unwrap_err();
        assert!(matches!(error, ClusteringError::BeyondF16 { row: 2, value } if value == -7e4), "{error}");
        let error = features.append(array![[1.0]].view()).unwrap_err();
        assert!(
            matches!(error, ClusteringError::DimensionMismatch { expected: 2, actual: 1, .. }),
            "{error}"
        );
        assert_eq!(features.num_rows(), 1);
    }

    #[test]
    fn halves_whiten_to_nearly_the_same_rows() {
        let rows = Array2::from_shape_fn((60, 5), |(row, column)| {
            ((row * 7 + column * column * 3) % 11) as f32 / 3.0
        });
        let config = WhiteningConfig { num_components: 3, ..WhiteningConfig::default() };
        let whitened = [FeatureType::F32, FeatureType::F16].map(|feature_type| {
            let mut features = StoredFeatures::with_capacity(feature_type, 60, 5);
            features.append(rows.view()).unwrap();
            let whitening = config.fit(&features).unwrap();
            let mut whitened = Vec::new();
            whitening
                .transform_blocks(&features, |rows| {
                    whitened.extend_from_slice(rows);
                    Ok(())
                })
                .unwrap();
            whitened
        });
        assert_eq!(whitened[0].len(), 60 * 3);
        for (full, half) in whitened[0].iter().zip(&whitened[1]) {
            // Values up to 3.3 are rounded by less than 0.001.
            assert!((full - half).abs() < 0.01, "{full} {half}");
        }
    }
}
