//! Agreement of two labellings of the same samples.
//!
//! The names of the labels do not matter, only which samples share one. Conventions at the edges are those of
//! scikit-learn. References: Vinh, Epps, Bailey, *Information Theoretic Measures for Clusterings Comparison*, JMLR
//! 2010; Hubert, Arabie, *Comparing partitions*, 1985.

mod contingency;
mod labelling;
mod measures;
mod pair_counts;

pub use contingency::{Contingency, contingency};
pub use measures::NmiNorm;

use crate::ClusteringError;

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
