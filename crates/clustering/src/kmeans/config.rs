//! Settings of k-means.

use serde::{Deserialize, Serialize};

use crate::error::ClusteringError;
use crate::kmeans::assign::ScanPrecision;

/// Most steps of a chain, which are kept together.
const LONGEST_CHAIN: usize = 1_000_000;

/// Settings of [`KMeans`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansConfig {
    /// Number of clusters `k`, at least 1 and at most the number of samples. Default: 10,000, the paper's
    /// choice for the 1.3 million images of ImageNet.
    pub num_clusters: usize,
    /// Most rounds of assigning samples and moving centroids, at least 1. Default: 20, as in the original
    /// code.
    pub num_iterations: usize,
    /// Number of runs from different initial centroids, of which the one with the lowest inertia is kept, at
    /// least 1. Default: 1, as in the original code.
    pub num_redos: usize,
    /// How the initial centroids are chosen. Default: at random, as in the original code.
    pub initialization: Initialization,
    /// Length of the Markov chains of [`Initialization::AfkMc2`], from 1 to 1,000,000. Default: 50, as in
    /// faiss.
    pub chain_length: usize,
    /// Whether centroids are scaled to unit norm whenever they have moved, for rows of unit norm (spherical
    /// k-means). Default: false.
    pub spherical: bool,
    /// A run ends when an iteration lowers the inertia by no more than this part of it, at least 0. Default:
    /// 0, which ends a run only when no centroid moves any more.
    pub tolerance: f64,
    /// Most samples per cluster that the centroids are learnt from; of more, a random part is taken, and all
    /// are assigned at the end. At least 1. Default: none, as in the original code; faiss itself takes 256.
    pub max_samples_per_cluster: Option<usize>,
    /// The course of the run. Default: Lloyd's iterations over all samples.
    pub variant: KMeansVariant,
    /// Samples drawn in each iteration of [`KMeansVariant::MiniBatch`], at least 1; as many as there are, if
    /// there are fewer. Default: 4,096.
    pub batch_size: usize,
    /// Arithmetic of the first pass over the centroids; no result depends on it. Default: the fastest.
    pub precision: ScanPrecision,
}

/// How the initial centroids are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initialization {
    /// Different samples at random.
    #[default]
    Random,
    /// One sample after the other, with a probability in proportion to its squared distance to the nearest
    /// centroid chosen before (Arthur & Vassilvitskii, *k-means++*, SODA 2007). Reads all samples once for
    /// each cluster.
    KMeansPlusPlus,
    /// An approximation of k-means++ by Markov chains, which reads all samples twice (Bachem, Lucic, Hassani
    /// & Krause, *Fast and Provably Good Seedings for k-Means*, NIPS 2016).
    AfkMc2,
}

/// The course of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KMeansVariant {
    /// Every iteration assigns all samples.
    #[default]
    Lloyd,
    /// Every iteration assigns a random batch and moves its centroids by it, the less the more samples they
    /// have seen (Sculley, *Web-scale k-means clustering*, WWW 2010). For very many samples; the inertia is
    /// somewhat higher.
    MiniBatch,
    /// First `sqrt(num_clusters)` clusters, then each of them on its own, as in the contributed code of
    /// faiss. For very many clusters: costs about the square root of the time, for an inertia a few percent
    /// higher.
    TwoLevel,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self {
            num_clusters: 10_000,
            num_iterations: 20,
            num_redos: 1,
            initialization: Initialization::Random,
            chain_length: 50,
            spherical: false,
            tolerance: 0.0,
            max_samples_per_cluster: None,
            variant: KMeansVariant::Lloyd,
            batch_size: 4096,
            precision: ScanPrecision::Auto,
        }
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
        for (field, value) in [
            ("num_iterations", self.num_iterations),
            ("num_redos", self.num_redos),
            ("chain_length", self.chain_length),
            ("max_samples_per_cluster", self.max_samples_per_cluster.unwrap_or(1)),
            ("batch_size", self.batch_size),
        ] {
            if value == 0 {
                let allowed = "at least 1";
                return Err(ClusteringError::InvalidConfig { field, value: value.to_string(), allowed });
            }
        }
        if self.chain_length > LONGEST_CHAIN {
            let (field, value) = ("chain_length", self.chain_length.to_string());
            return Err(ClusteringError::InvalidConfig { field, value, allowed: "1 to 1000000" });
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            let (field, value) = ("tolerance", self.tolerance.to_string());
            return Err(ClusteringError::InvalidConfig {
                field,
                value,
                allowed: "a finite number of at least 0",
            });
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
/// The initial centroids are `num_clusters` samples chosen by the seed, unless they are given. Every
/// iteration assigns each sample to its nearest centroid, moves each centroid to the (weighted) mean of its
/// samples, and refills clusters that got no sample by splitting others. After the last iteration the samples
/// are assigned once more, so that the assignments and the inertia belong to the returned centroids. A run
/// ends early once no centroid moves any more: the iterations left out would repeat the last one.
///
/// # Cost
/// `O(num_samples * num_clusters * feature_dim)` per iteration, in one pass over the samples: a block is
/// read, assigned and added to the sums of its clusters. Memory beyond the samples: 8 bytes for each, and for
/// each thread the sums of all clusters, `8 * num_clusters * feature_dim` bytes (fewer threads share them
/// when that is much); never a matrix of samples by clusters.
///
/// # Determinism
/// The same bits for the same features and seed at any number of threads and on every processor. Each sample
/// gets its truly nearest centroid: what integers or single precision cannot tell apart is compared in double
/// precision, and sums are exact (see the source of `cluster_sums`).
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
            (KMeansConfig { chain_length: 0, ..valid.clone() }, "chain_length"),
            (KMeansConfig { chain_length: usize::MAX, ..valid.clone() }, "chain_length"),
            (KMeansConfig { batch_size: 0, ..valid.clone() }, "batch_size"),
            (KMeansConfig { max_samples_per_cluster: Some(0), ..valid.clone() }, "max_samples_per_cluster"),
            (KMeansConfig { tolerance: -1.0, ..valid.clone() }, "tolerance"),
            (KMeansConfig { tolerance: f64::NAN, ..valid.clone() }, "tolerance"),
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
