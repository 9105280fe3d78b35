//! Settings of k-means.

use serde::{Deserialize, Serialize};

use crate::ClusteringError;

/// Settings of [`KMeans`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansConfig {
    /// Number of clusters `k`, at least 1 and at most the number of samples. Default: 10,000, the paper's choice
    /// for the 1.3 million images of ImageNet.
    pub num_clusters: usize,
    /// Most rounds of assigning samples and moving centroids, at least 1. Default: 20, as in the original code.
    pub num_iterations: usize,
    /// Number of runs from different initial centroids, of which the one with the lowest inertia is kept; at least
    /// 1. Default: 1, as in the original code.
    pub num_redos: usize,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self { num_clusters: 10_000, num_iterations: 20, num_redos: 1 }
    }
}

impl KMeansConfig {
    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: names the field, its value and the values allowed.
    pub fn validate(&self) -> Result<(), ClusteringError> {
        if self.num_clusters == 0 || u32::try_from(self.num_clusters).is_err() {
            return Err(ClusteringError::InvalidConfig {
                field: "num_clusters",
                value: self.num_clusters.to_string(),
                allowed: "1 to 4294967295",
            });
        }
        for (field, value) in [("num_iterations", self.num_iterations), ("num_redos", self.num_redos)] {
            if value == 0 {
                let allowed = "at least 1";
                return Err(ClusteringError::InvalidConfig { field, value: value.to_string(), allowed });
            }
        }
        Ok(())
    }

    /// Makes the algorithm.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: a field is out of range.
    pub fn init(&self) -> Result<KMeans, ClusteringError> {
        self.validate()?;
        Ok(KMeans { config: self.clone() })
    }
}

/// k-means clustering, made by [`KMeansConfig::init`].
///
/// Minimises the inertia, the sum of squared Euclidean distances of the samples to the nearest centroid:
///
/// ```text
/// inertia(C, a) = sum_i || x_i - C[a_i] ||^2      a_i = argmin_j || x_i - C[j] ||^2
/// ```
///
/// The initial centroids are `num_clusters` samples chosen at random by the seed. Every iteration assigns each
/// sample to its nearest centroid, moves each centroid to the mean of its samples, and refills clusters that got no
/// sample by splitting others. After the last iteration the samples are assigned once more, so that the
/// assignments and the inertia belong to the returned centroids. A run ends early once no centroid moves any more:
/// the iterations left out would repeat the last one.
///
/// # Cost
/// `O(num_samples * num_clusters * feature_dim)` per iteration. Memory beyond the result: one tile of distances per
/// thread, the order of the samples by cluster, never a matrix of samples by clusters.
///
/// # Determinism
/// The same bits for the same features and seed at any number of threads. Each sample gets its truly nearest
/// centroid: where single precision cannot tell the best two apart, they are compared in double precision.
///
/// # References
/// - Caron et al., *Deep Clustering for Unsupervised Learning of Visual Features*, ECCV 2018, section 3.2.
/// - Johnson, Douze, Jégou, *Billion-scale similarity search with GPUs*, 2017 (faiss).
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    pub(super) config: KMeansConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_out_of_range_is_named() {
        let valid = KMeansConfig::default();
        for (config, name) in [
            (KMeansConfig { num_clusters: 0, ..valid.clone() }, "num_clusters"),
            (KMeansConfig { num_clusters: 1 << 32, ..valid.clone() }, "num_clusters"),
            (KMeansConfig { num_iterations: 0, ..valid.clone() }, "num_iterations"),
            (KMeansConfig { num_redos: 0, ..valid.clone() }, "num_redos"),
        ] {
            let error = config.init().unwrap_err();
            assert!(
                matches!(error, ClusteringError::InvalidConfig { field, .. } if field == name),
                "{error}"
            );
        }
        assert!(valid.init().is_ok());
    }
}
