//! The error type of this crate.

use deepcluster_clustering::ClusteringError;
use deepcluster_files::{HasKind, Kind};

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
    /// More samples than a 32-bit number can count.
    #[error("{num_samples} samples are more than the 4,294,967,295 that can be compared")]
    TooManySamples {
        /// Number of samples.
        num_samples: usize,
    },
    /// More neighbours than other labelled samples.
    #[error("num_neighbors = {num_neighbors} is not allowed: 1 to {allowed}, the other labelled samples")]
    NumNeighbors {
        /// The requested number of neighbours.
        num_neighbors: usize,
        /// Most that there are.
        allowed: usize,
    },
    /// There is nothing to find.
    #[error("there is no positive to find: the average precision needs at least one")]
    NoPositives,
    /// A score is not a number.
    #[error("the score of entry {index} is not a number")]
    NotFinite {
        /// Position of the entry.
        index: usize,
    },
    /// A temperature is out of range.
    #[error("temperature = {temperature} is not allowed: more than 0")]
    Temperature {
        /// The value.
        temperature: f64,
    },
    /// A class is out of range.
    #[error("class {class} is not allowed: there are {num_classes} classes, counted from 0")]
    UnknownClass {
        /// The class.
        class: usize,
        /// How many there are.
        num_classes: usize,
    },
    /// The features or assignments cannot be used.
    #[error(transparent)]
    Clustering(#[from] ClusteringError),
}

impl HasKind for EvaluationError {
    fn kind(&self) -> Kind {
        match self {
            Self::NumNeighbors { .. } | Self::Temperature { .. } => Kind::Usage,
            Self::Clustering(error) => error.kind(),
            Self::LengthMismatch { .. }
            | Self::NoLabels { .. }
            | Self::TooManySamples { .. }
            | Self::NoPositives
            | Self::NotFinite { .. }
            | Self::UnknownClass { .. } => Kind::Failure,
        }
    }
}
