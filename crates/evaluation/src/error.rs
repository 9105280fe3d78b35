//! The error type of this crate.

use deepcluster_clustering::ClusteringError;

/// Why a measure cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// Two lists that belong together differ in length.
    #[error("there are {num_samples} samples and {num_labels} labels: each sample needs its entry")]
    LengthMismatch {
        /// Number of samples.
        num_samples: usize,
        /// Number of label entries.
        num_labels: usize,
    },
    /// No sample has a label.
    #[error("none of the {num_samples} samples has a label")]
    NoLabels {
        /// Number of samples.
        num_samples: usize,
    },
    /// More neighbours than other labelled samples.
    #[error("num_neighbors = {num_neighbors} is not allowed: 1 to {allowed}, the other labelled samples")]
    NumNeighbors {
        /// Neighbours asked for.
        num_neighbors: usize,
        /// Most that there are.
        allowed: usize,
    },
    /// The features or assignments cannot be used.
    #[error(transparent)]
    Clustering(#[from] ClusteringError),
}
