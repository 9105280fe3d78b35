//! The silhouette coefficient.

use ndarray::{ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::labelling::Labelling;
use crate::assignments::Assignments;
use crate::error::ClusteringError;
use crate::rows::distance::squared_distance;
use crate::rows::matrix::FeatureMatrix;

/// Settings of [`silhouette`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SilhouetteConfig {
    /// Most samples that are measured, at least 2; more are reduced to a random choice of so many. Default: 2,000.
    pub max_samples: usize,
    /// Seed of the choice. Default: 0.
    pub seed: u64,
}

impl Default for SilhouetteConfig {
    fn default() -> Self {
        Self { max_samples: 2_000, seed: 0 }
    }
}

impl SilhouetteConfig {
    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: names the field, its value and the values allowed.
    pub fn validate(&self) -> Result<(), ClusteringError> {
        if self.max_samples < 2 {
            return Err(ClusteringError::InvalidConfig {
                field: "max_samples",
                value: self.max_samples.to_string(),
                allowed: "at least 2",
            });
        }
        Ok(())
    }
}

/// Mean silhouette coefficient of a clustering of the rows of `features`, `[num_samples, feature_dim]`: from -1
/// (samples lie in the wrong clusters) over 0 (clusters overlap) to 1 (dense and far apart).
///
/// ```text
/// s_i = (b_i - a_i) / max(a_i, b_i)
/// a_i: mean Euclidean distance of i to the other samples of its cluster
/// b_i: least mean distance of i to the samples of another cluster
/// ```
///
/// With more than `max_samples` rows, everything is computed on a random choice of them alone, as `sample_size` does
/// in scikit-learn. Samples alone in their cluster have the coefficient 0, also by its convention. Computed in `f64`,
/// the same bits at any number of threads. Costs `O(m^2 * feature_dim)` time for `m` measured samples and
/// `O(m * feature_dim)` memory.
///
/// # Errors
/// - [`ClusteringError::InvalidConfig`]: a field of `config` is out of range.
/// - [`ClusteringError::DimensionMismatch`]: there is not one assignment per row.
/// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
///   [`ClusteringError::FeaturesTooLarge`]: the features cannot be measured; of many rows only the chosen are checked.
/// - [`ClusteringError::SilhouetteUndefined`]: the measured samples are all in one cluster, or each in its own.
///
/// # References
/// - Rousseeuw, *Silhouettes: a graphical aid to the interpretation and validation of cluster analysis*, 1987.
///
/// ```
/// use deepcluster_clustering::{Assignments, SilhouetteConfig, silhouette};
/// use ndarray::array;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let features = array![[0.0_f32], [1.0], [10.0], [11.0]];
/// let assignments = Assignments::new(vec![0, 0, 1, 1], 2)?;
/// let mean = silhouette(features.view(), &assignments, &SilhouetteConfig::default())?;
/// // outer samples: (10.5 - 1) / 10.5, inner ones: (9.5 - 1) / 9.5
/// assert!((mean - (9.5 / 10.5 + 8.5 / 9.5) / 2.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub fn silhouette(
    features: ArrayView2<'_, f32>,
    assignments: &Assignments,
    config: &SilhouetteConfig,
) -> Result<f64, ClusteringError> {
    config.validate()?;
    let num_samples = features.nrows();
    if assignments.len() != num_samples {
        return Err(ClusteringError::DimensionMismatch {
            what: "the number of assignments",
            expected: num_samples,
            actual: assignments.len(),
        });
    }
    if num_samples <= config.max_samples {
        return mean_coefficient(&FeatureMatrix::new(features)?, assignments.labels());
    }
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut chosen = rand::seq::index::sample(&mut rng, num_samples, config.max_samples).into_vec();
    chosen.sort_unstable();
    let features = features.select(Axis(0), &chosen);
    let labels: Vec<u32> = chosen.iter().map(|&row| assignments.labels()[row]).collect();
    let features = FeatureMatrix::new(features.view()).map_err(|error| match error {
        ClusteringError::NonFiniteFeatures { row } => ClusteringError::NonFiniteFeatures { row: chosen[row] },
        ClusteringError::FeaturesTooLarge { row } => ClusteringError::FeaturesTooLarge { row: chosen[row] },
        other => other,
    })?;
    mean_coefficient(&features, &labels)
}

fn mean_coefficient(features: &FeatureMatrix<'_>, labels: &[u32]) -> Result<f64, ClusteringError> {
    let clusters = Labelling::new(labels);
    let (num_samples, num_clusters) = (labels.len(), clusters.labels.len());
    if num_clusters < 2 || num_clusters >= num_samples {
        return Err(ClusteringError::SilhouetteUndefined { num_samples, num_clusters });
    }
    let coefficients: Vec<f64> =
        (0..num_samples).into_par_iter().map(|sample| coefficient(features, &clusters, sample)).collect();
    Ok(coefficients.iter().sum::<f64>() / num_samples as f64)
}

fn coefficient(features: &FeatureMatrix<'_>, clusters: &Labelling<'_>, sample: usize) -> f64 {
    let own = clusters.positions[sample] as usize;
    if clusters.sizes[own] == 1 {
        return 0.0;
    }
    let mut sums = vec![0.0; clusters.sizes.len()];
    for (other, &cluster) in clusters.positions.iter().enumerate() {
        sums[cluster as usize] += squared_distance(features.row(sample), features.row(other)).sqrt();
    }
    let within = sums[own] / (clusters.sizes[own] - 1) as f64;
    let means = sums.iter().zip(&clusters.sizes).map(|(sum, &size)| sum / size as f64);
    let nearest = means
        .enumerate()
        .filter(|&(cluster, _)| cluster != own)
        .fold(f64::INFINITY, |least, (_, mean)| mean.min(least));
    let largest = within.max(nearest);
    if largest > 0.0 { (nearest - within) / largest } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn all(features: &Array2<f32>, labels: &[u32]) -> Result<f64, ClusteringError> {
        let assignments = Assignments::new(labels.to_vec(), 10).unwrap();
        silhouette(features.view(), &assignments, &SilhouetteConfig::default())
    }

    #[test]
    fn a_hand_computed_clustering_with_a_singleton_and_a_misplaced_sample() {
        let features = array![[0.0_f32], [2.0], [3.0], [9.0]];
        // 0: a = 2, b = min(3, 9)     = 3: 1/3
        // 2: a = 2, b = min(1, 7)     = 1: -1/2
        // 3 and 9 are alone: 0
        let mean = all(&features, &[0, 0, 5, 7]).unwrap();
        assert!((mean - (1.0 / 3.0 - 0.5) / 4.0).abs() < 1e-15);
    }

    #[test]
    fn identical_points_have_the_coefficient_zero() {
        assert_eq!(all(&Array2::from_elem((4, 3), 0.5), &[0, 0, 1, 1]).unwrap(), 0.0);
    }

    #[test]
    fn a_larger_matrix_is_measured_on_a_choice_given_by_the_seed() {
        let features =
            Array2::from_shape_fn((300, 2), |(i, j)| ((i * (7 + j)) % 31) as f32 + 40.0 * (i % 2) as f32);
        let assignments = Assignments::new((0..300).map(|i| i % 2).collect(), 2).unwrap();
        let mean = |max_samples, seed| {
            silhouette(features.view(), &assignments, &SilhouetteConfig { max_samples, seed }).unwrap()
        };
        assert_eq!(mean(100, 3), mean(100, 3));
        assert_ne!(mean(100, 3), mean(100, 4));
        assert!((mean(100, 3) - mean(300, 0)).abs() < 0.05);
    }

    #[test]
    fn too_few_or_too_many_clusters_and_bad_input_are_refused() {
        let features = array![[0.0_f32], [2.0], [3.0]];
        for (labels, clusters) in [([1, 1, 1], 1), ([0, 1, 2], 3)] {
            assert!(matches!(
                all(&features, &labels),
                Err(ClusteringError::SilhouetteUndefined { num_samples: 3, num_clusters }) if num_clusters == clusters
            ));
        }
        assert!(matches!(
            all(&features, &[0, 1]),
            Err(ClusteringError::DimensionMismatch { expected: 3, actual: 2, .. })
        ));
        assert!(matches!(
            all(&array![[0.0_f32], [f32::NAN], [1.0]], &[0, 0, 1]),
            Err(ClusteringError::NonFiniteFeatures { row: 1 })
        ));
        let many = Array2::from_shape_fn((3, 1), |(i, _)| if i == 1 { f32::INFINITY } else { i as f32 });
        let assignments = Assignments::new(vec![0, 0, 1], 2).unwrap();
        // Of two chosen among three rows the second is at least once the bad one, under its own number.
        let bad_row = (0..20).find_map(|seed| {
            let config = SilhouetteConfig { max_samples: 2, seed };
            match silhouette(many.view(), &assignments, &config).unwrap_err() {
                ClusteringError::NonFiniteFeatures { row } => Some(row),
                _ => None,
            }
        });
        assert_eq!(bad_row, Some(1));
        assert!(matches!(
            silhouette(features.view(), &assignments, &SilhouetteConfig { max_samples: 1, seed: 0 }),
            Err(ClusteringError::InvalidConfig { field: "max_samples", .. })
        ));
    }
}
