//! Agreement of two labellings of the same samples, and measures of one clustering.
//!
//! For agreement the names of the labels do not matter, only which samples share one. Conventions at the edges are
//! those of scikit-learn. References: Vinh, Epps, Bailey, *Information Theoretic Measures for Clusterings
//! Comparison*, JMLR 2010; Hubert, Arabie, *Comparing partitions*, 1985.

mod balance;
mod contingency;
mod labelling;
mod matching;
mod measures;
mod pair_counts;
mod silhouette;

pub use balance::{ClusterBalance, cluster_balance};
pub use contingency::{Contingency, contingency};
pub use measures::NmiNorm;
pub use silhouette::{SilhouetteConfig, silhouette};

use crate::error::ClusteringError;

/// Normalised mutual information of two labellings, from 0 (independent) to 1 (equal up to names).
///
/// # Errors
/// - [`ClusteringError::DimensionMismatch`]: the labellings differ in length.
/// - [`ClusteringError::NoLabels`]: they are empty.
///
/// ```
/// use deepcluster_clustering::{NmiNorm, nmi};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(nmi(&[0, 0, 1, 1], &[7, 7, 3, 3], NmiNorm::Arithmetic)?, 1.0);
/// assert_eq!(nmi(&[0, 0, 1, 1], &[0, 1, 0, 1], NmiNorm::Arithmetic)?, 0.0);
/// # Ok(())
/// # }
/// ```
pub fn nmi(a: &[u32], b: &[u32], norm: NmiNorm) -> Result<f64, ClusteringError> {
    Ok(contingency(a, b)?.nmi(norm))
}

/// Adjusted Rand index of two labellings: 1 if equal up to names, about 0 if independent, possibly negative.
///
/// # Errors
/// - [`ClusteringError::DimensionMismatch`]: the labellings differ in length.
/// - [`ClusteringError::NoLabels`]: they are empty.
pub fn adjusted_rand_index(a: &[u32], b: &[u32]) -> Result<f64, ClusteringError> {
    Ok(contingency(a, b)?.adjusted_rand_index())
}

/// The fraction of samples that have the most frequent label of their cluster.
///
/// # Errors
/// - [`ClusteringError::DimensionMismatch`]: the labellings differ in length.
/// - [`ClusteringError::NoLabels`]: they are empty.
pub fn purity(assignments: &[u32], labels: &[u32]) -> Result<f64, ClusteringError> {
    Ok(contingency(assignments, labels)?.purity())
}

/// The fraction of samples whose cluster is matched with their label, in the one-to-one matching of clusters with
/// labels that makes it largest ("clustering accuracy", ACC), above 0 and at most 1.
///
/// Unlike [`purity`] it does not rise just because there are more clusters: each label counts for one cluster.
/// The numbers of clusters and labels may differ; those without a partner count as wrong. See
/// [`Contingency::clustering_accuracy`] for the cost.
///
/// # Errors
/// - [`ClusteringError::DimensionMismatch`]: the labellings differ in length.
/// - [`ClusteringError::NoLabels`]: they are empty.
///
/// ```
/// use deepcluster_clustering::clustering_accuracy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Cluster 8 is matched with label 0, cluster 5 with label 1: the last sample is wrong.
/// assert_eq!(clustering_accuracy(&[8, 8, 5, 5], &[0, 0, 1, 0])?, 0.75);
/// # Ok(())
/// # }
/// ```
pub fn clustering_accuracy(assignments: &[u32], labels: &[u32]) -> Result<f64, ClusteringError> {
    Ok(contingency(assignments, labels)?.clustering_accuracy())
}
