//! The interface of clustering algorithms.

use std::ops::ControlFlow;
use std::time::Duration;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::assignments::Assignments;
use crate::error::ClusteringError;
use crate::kmeans::KMeansConfig;
use crate::pic::{LinCohenPicConfig, PicConfig};
use crate::rows::Rows;

/// Groups rows of features.
pub trait ClusteringAlgorithm: Send + Sync {
    /// Short lower-case name, for reports and files.
    fn name(&self) -> &'static str;

    /// Clusters `rows`, `[num_samples, feature_dim]`, already whitened and L2-normalised, wherever they lie.
    ///
    /// The same features and `seed` give the same result. `observer` is notified of the progress and can stop
    /// the run.
    ///
    /// # Errors
    /// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
    ///   [`ClusteringError::FeaturesTooLarge`]: the features cannot be clustered.
    /// - [`ClusteringError::TooFewSamples`] or [`ClusteringError::TooFewCandidates`]: too few samples for the
    ///   configured number of clusters or neighbours.
    /// - [`ClusteringError::Device`]: the device of the rows failed.
    /// - [`ClusteringError::Cancelled`]: the observer stopped it.
    fn cluster(
        &self,
        rows: &dyn Rows,
        seed: u64,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError>;
}

/// Receives the progress of a clustering and may stop it; `()` ignores everything.
pub trait ClusteringObserver {
    /// Called after each iteration; `Break` ends the run with [`ClusteringError::Cancelled`].
    fn iteration(&mut self, _stats: &IterationStats) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called by [`Pic`](crate::Pic) and [`LinCohenPic`](crate::LinCohenPic) while they search for the
    /// nearest neighbours of `num_rows` rows, of which `num_rows_done` are finished; `Break` ends the run
    /// with [`ClusteringError::Cancelled`].
    fn neighbors_found(&mut self, _num_rows_done: usize, _num_rows: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl ClusteringObserver for () {}

/// Measures of one iteration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IterationStats {
    /// The iteration, counted from 0; over all redos of a k-means run.
    pub iteration: usize,
    /// Upper limit of the number of iterations. k-means ends earlier once nothing moves any more.
    pub num_iterations: usize,
    /// Sum over the samples of the squared distance to the centroid, before this iteration moved the
    /// centroids.
    pub inertia: f64,
    /// Clusters that this iteration found empty and refilled by splitting others.
    pub num_empty: usize,
    /// `num_clusters * sum(size^2) / num_samples^2`: 1 for equal sizes, `num_clusters` for a single full
    /// cluster.
    pub imbalance_factor: f64,
    /// Time since the start of the run.
    pub elapsed: Duration,
}

/// A finished clustering.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// The cluster of each sample. For k-means: the nearest of `centroids`, the lowest index among equals.
    pub assignments: Assignments,
    /// `[num_clusters, feature_dim]`. For PIC: the mean of the members of each cluster, 0
    /// for an empty one.
    pub centroids: Array2<f32>,
    /// Squared Euclidean distance of each sample to its centroid, `[num_samples]`.
    pub squared_distances: Vec<f32>,
    /// Sum of `squared_distances`.
    pub inertia: f64,
    /// Measures of each iteration of the run that was kept.
    pub iterations: Vec<IterationStats>,
}

/// The choice of the algorithm with its settings; in files the key `algorithm` is `kmeans`, `pic` or
/// `lin-cohen-pic`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "lowercase")]
pub enum ClusteringConfig {
    /// k-means, the choice of the paper.
    KMeans(KMeansConfig),
    /// Power Iteration Clustering, which finds the number of clusters by itself.
    Pic(PicConfig),
    /// Power Iteration Clustering as published, with a given number of clusters.
    #[serde(rename = "lin-cohen-pic")]
    LinCohenPic(LinCohenPicConfig),
}

impl Default for ClusteringConfig {
    fn default() -> Self {
        Self::KMeans(KMeansConfig::default())
    }
}

impl ClusteringConfig {
    /// Checks the settings of the chosen algorithm.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: a field is out of range.
    pub fn validate(&self) -> Result<(), ClusteringError> {
        match self {
            Self::KMeans(config) => config.validate(),
            Self::Pic(config) => config.validate(),
            Self::LinCohenPic(config) => config.validate(),
        }
    }

    /// Makes the algorithm.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: a field is out of range.
    pub fn init(&self) -> Result<Box<dyn ClusteringAlgorithm>, ClusteringError> {
        Ok(match self {
            Self::KMeans(config) => Box::new(config.init()?),
            Self::Pic(config) => Box::new(config.init()?),
            Self::LinCohenPic(config) => Box::new(config.init()?),
        })
    }
}

/// `num_clusters * sum(size^2) / num_samples^2` of the given cluster sizes.
pub(crate) fn imbalance_factor(cluster_sizes: &[usize]) -> f64 {
    let num_samples: f64 = cluster_sizes.iter().map(|&size| size as f64).sum();
    let sum_of_squares: f64 = cluster_sizes.iter().map(|&size| (size as f64).powi(2)).sum();
    cluster_sizes.len() as f64 * sum_of_squares / num_samples.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_is_chosen_by_a_key_in_the_file() {
        let config: ClusteringConfig =
            serde_json::from_str(r#"{"algorithm": "kmeans", "num_clusters": 12}"#).unwrap();
        assert_eq!(config, ClusteringConfig::KMeans(KMeansConfig { num_clusters: 12, ..Default::default() }));
        assert_eq!(config.init().unwrap().name(), "kmeans");

        let config: ClusteringConfig = serde_json::from_str(r#"{"algorithm": "pic"}"#).unwrap();
        assert_eq!(config, ClusteringConfig::Pic(PicConfig::default()));
        assert_eq!(config.init().unwrap().name(), "pic");

        let config: ClusteringConfig =
            serde_json::from_str(r#"{"algorithm": "lin-cohen-pic", "num_clusters": 12}"#).unwrap();
        let expected = LinCohenPicConfig { num_clusters: 12, ..Default::default() };
        assert_eq!(config, ClusteringConfig::LinCohenPic(expected));
        assert_eq!(config.init().unwrap().name(), "lin-cohen-pic");
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let parsed = serde_json::from_str::<ClusteringConfig>(r#"{"algorithm": "kmeans", "clusters": 12}"#);
        assert!(parsed.unwrap_err().to_string().contains("clusters"));
    }

    #[test]
    fn a_config_survives_the_way_through_a_file() {
        for config in [
            ClusteringConfig::default(),
            ClusteringConfig::Pic(PicConfig::default()),
            ClusteringConfig::LinCohenPic(LinCohenPicConfig::default()),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<ClusteringConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn the_imbalance_factor_is_one_for_equal_sizes_and_num_clusters_for_one_full_cluster() {
        assert_eq!(imbalance_factor(&[3, 3, 3]), 1.0);
        assert_eq!(imbalance_factor(&[0, 5, 0]), 3.0);
        // 2 * (1 + 9) / 16
        assert_eq!(imbalance_factor(&[1, 3]), 1.25);
    }
}
