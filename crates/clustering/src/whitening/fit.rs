//! Finds the principal components.

use ndarray::ArrayView2;

use super::moments::{column_means, combine_rows, covariance, gram};
use super::{Whitening, WhiteningConfig};
use crate::ClusteringError;
use crate::feature_matrix::FeatureMatrix;
use crate::symmetric_eigen::{Eigenpairs, fix_sign, leading_eigenpairs};

/// Eigenvalues up to this part of the largest count as rounding error of the covariance.
const RELATIVE_THRESHOLD: f64 = 1e-10;

/// Variance of the rounding of a number to `f32`, relative to its square, bounded from above: `(2^-24)^2`.
const ROUNDING_VARIANCE: f64 = (f32::EPSILON as f64 / 2.0) * (f32::EPSILON as f64 / 2.0);

impl WhiteningConfig {
    /// Fits the whitening to `features`, `[num_samples, feature_dim]`.
    ///
    /// Costs `O(num_samples * feature_dim * m + m^3)` with `m = min(num_samples, feature_dim)`, all in `f64`; the
    /// memory beyond the features is a few matrices of `m` by `m`. The bits do not depend on the number of threads.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: `num_components` is 0.
    /// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
    ///   [`ClusteringError::FeaturesTooLarge`]: the features cannot be whitened.
    /// - [`ClusteringError::EigenDecomposition`]: the eigenvalues did not converge.
    pub fn fit(&self, features: ArrayView2<'_, f32>) -> Result<Whitening, ClusteringError> {
        self.validate()?;
        let features = FeatureMatrix::new(features)?;
        let mean = column_means(&features);
        let Eigenpairs { values, mut vectors } = principal_directions(&features, &mean, self.num_components)?;
        let largest_mean = mean.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let rounding = ROUNDING_VARIANCE * largest_mean.powi(2);
        let threshold = values.first().map_or(0.0, |largest| (RELATIVE_THRESHOLD * largest).max(rounding));
        let rank = values.iter().take_while(|&&value| value > threshold).count();
        vectors.truncate(rank * features.dim());
        for (vector, value) in vectors.chunks_exact_mut(features.dim()).zip(values) {
            fix_sign(vector);
            if self.whiten {
                let deviation = value.sqrt();
                vector.iter_mut().for_each(|entry| *entry /= deviation);
            }
        }
        if rank < self.num_components {
            log::debug!("whitening keeps {rank} components of {} asked for", self.num_components);
        }
        if rank == 0 {
            vectors = vec![0.0; features.dim()];
        }
        Ok(Whitening { mean, components: vectors, normalize: self.normalize })
    }
}

/// The leading eigenpairs of the covariance, at most `count`; vectors of vanishing eigenvalues may be zero.
fn principal_directions(
    features: &FeatureMatrix<'_>,
    mean: &[f64],
    count: usize,
) -> Result<Eigenpairs, ClusteringError> {
    let (num_rows, dim) = (features.num_rows(), features.dim());
    let count = count.min(num_rows).min(dim);
    if num_rows >= dim {
        return leading_eigenpairs(&covariance(features, mean), dim, count);
    }
    // With X the centred rows: if X X^T u = n lambda u, then X^T u is an eigenvector of X^T X for the same value.
    let Eigenpairs { values, vectors } = leading_eigenpairs(&gram(features, mean), num_rows, count)?;
    let mut vectors = combine_rows(features, mean, &vectors);
    for vector in vectors.chunks_exact_mut(dim) {
        let norm = vector.iter().map(|entry| entry * entry).sum::<f64>().sqrt();
        if norm > 0.0 {
            vector.iter_mut().for_each(|entry| *entry /= norm);
        }
    }
    Ok(Eigenpairs { values, vectors })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array, concatenate, s};

    use super::*;

    fn pseudo_random(num_rows: usize, dim: usize) -> Array2<f32> {
        let mut state = 1_u64;
        Array2::from_shape_simple_fn((num_rows, dim), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
    }

    #[test]
    fn a_hand_computed_cloud_gives_its_mean_and_scaled_directions() {
        // Centred: (+-2, 0), (0, +-1): covariance diag(8/4, 2/4).
        let features = array![[12.0_f32, 5.0], [8.0, 5.0], [10.0, 6.0], [10.0, 4.0]];
        let whitening = WhiteningConfig::default().fit(features.view()).unwrap();
        assert_eq!(whitening.mean, [10.0, 5.0]);
        let expected = [1.0 / 2.0_f64.sqrt(), 0.0, 0.0, 1.0 / 0.5_f64.sqrt()];
        for (got, expected) in whitening.components.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-14, "{:?}", whitening.components);
        }
        let config = WhiteningConfig { num_components: 1, whiten: false, normalize: false };
        let projection = config.fit(features.view()).unwrap();
        assert_eq!((projection.num_components(), projection.feature_dim()), (1, 2));
        assert!((projection.components[0] - 1.0).abs() < 1e-14);
    }

    #[test]
    fn the_gram_matrix_gives_the_components_of_the_covariance() {
        // Doubling the rows changes neither the mean nor the covariance, but the way they are decomposed.
        let few = pseudo_random(20, 30);
        let many = concatenate![ndarray::Axis(0), few, few];
        let config = WhiteningConfig { num_components: 7, ..Default::default() };
        let (by_gram, by_covariance) = (config.fit(few.view()).unwrap(), config.fit(many.view()).unwrap());
        assert_eq!(by_gram.num_components(), 7);
        for (a, b) in by_gram.components.iter().zip(&by_covariance.components) {
            assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        }
    }

    #[test]
    fn directions_without_variance_are_left_out() {
        // 20 samples span at most 19 directions, whichever matrix is decomposed.
        let few = pseudo_random(20, 30);
        let many = concatenate![ndarray::Axis(0), few, few];
        assert_eq!(WhiteningConfig::default().fit(few.view()).unwrap().num_components(), 19);
        assert_eq!(WhiteningConfig::default().fit(many.view()).unwrap().num_components(), 19);
        // Columns that are constant, repeated or sums of others add no direction.
        let mut features = pseudo_random(200, 6);
        features.column_mut(2).fill(123.456);
        let (first, second) = (features.column(0).to_owned(), features.column(1).to_owned());
        features.column_mut(3).assign(&first);
        features.column_mut(4).assign(&(&first * 0.5 - &second * 0.25));
        assert_eq!(WhiteningConfig::default().fit(features.view()).unwrap().num_components(), 3);
    }

    #[test]
    fn rounding_of_a_large_constant_is_not_taken_for_a_direction() {
        let mut features = pseudo_random(100, 3);
        // The spacing of f32 at 1e6 is 0.06: only rounding distinguishes these values.
        features.column_mut(1).mapv_inplace(|value| 1e6 + 0.1 * value);
        let last = features.slice(s![.., 1]).iter().copied().collect::<Vec<_>>();
        assert!(last.iter().any(|&value| value != last[0]));
        assert_eq!(WhiteningConfig::default().fit(features.view()).unwrap().num_components(), 2);
    }

    #[test]
    fn equal_features_leave_one_component_of_zeros() {
        for num_rows in [1, 2, 50] {
            let features = Array2::from_shape_fn((num_rows, 4), |(_, j)| 0.1 + j as f32);
            let whitening = WhiteningConfig::default().fit(features.view()).unwrap();
            assert_eq!(whitening.num_components(), 1);
            assert_eq!(whitening.components, [0.0; 4]);
        }
    }

    #[test]
    fn bad_features_are_refused_with_their_row() {
        let config = WhiteningConfig::default();
        let error = config.fit(array![[1.0_f32, 2.0], [f32::NAN, 0.0]].view()).unwrap_err();
        assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 1 }));
        let error = config.fit(Array2::zeros((0, 3)).view()).unwrap_err();
        assert!(matches!(error, ClusteringError::EmptyFeatures { num_samples: 0, feature_dim: 3 }));
        let config = WhiteningConfig { num_components: 0, ..config };
        assert!(matches!(config.fit(array![[1.0]].view()), Err(ClusteringError::InvalidConfig { .. })));
    }
}
