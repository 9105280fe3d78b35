//! The error type of this crate.

use std::path::PathBuf;

use crate::rows::file::FeatureFileProblem;
use deepcluster_files::{HasKind, Kind};

/// Everything that can go wrong while clustering, whitening, searching or measuring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusteringError {
    /// A configuration field has a value outside its range.
    #[error("{field} is {value}, allowed is {allowed}")]
    InvalidConfig {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        value: String,
        /// The values allowed.
        allowed: &'static str,
    },
    /// A device failed.
    #[error("the device failed while {during}: {reason}")]
    Device {
        /// The operation that failed.
        during: &'static str,
        /// The message of the device.
        reason: String,
    },
    /// A sample weight that is negative, not finite, or 0 like all others.
    #[error("the weight of sample {row} is {value}; weights are finite, at least 0, and not all 0")]
    InvalidWeight {
        /// The first sample with such a weight.
        row: usize,
        /// Its weight.
        value: f32,
    },
    /// Fewer samples than clusters.
    #[error(
        "{num_samples} samples cannot fill {num_clusters} clusters: lower num_clusters to at most {num_samples} \
         or add samples"
    )]
    TooFewSamples {
        /// Rows of the feature matrix.
        num_samples: usize,
        /// The requested number of clusters.
        num_clusters: usize,
    },
    /// More neighbours requested than there are candidates.
    #[error(
        "num_neighbors is {num_neighbors}, but each query has {num_candidates} candidates: lower num_neighbors \
         or add samples"
    )]
    TooFewCandidates {
        /// The requested number of neighbours.
        num_neighbors: usize,
        /// Rows of the database, less the query itself where it is excluded.
        num_candidates: usize,
    },
    /// An impossible link in a neighbour graph.
    #[error("row {row} of the neighbour graph {problem}")]
    InvalidNeighbor {
        /// The first such row, counted from 0.
        row: usize,
        /// The problem.
        problem: &'static str,
    },
    /// More rows than a 32-bit row number can name.
    #[error("{num_samples} samples are more than the 4,294,967,295 that this crate can number")]
    TooManySamples {
        /// Rows of the feature matrix.
        num_samples: usize,
    },
    /// A matrix without rows or without columns.
    #[error("the feature matrix is empty: {num_samples} samples of dimension {feature_dim}")]
    EmptyFeatures {
        /// Rows of the matrix.
        num_samples: usize,
        /// Columns of the matrix.
        feature_dim: usize,
    },
    /// Two sizes that must agree do not.
    #[error("{what} is {actual}, expected {expected}")]
    DimensionMismatch {
        /// The size that differs.
        what: &'static str,
        /// The size it must have.
        expected: usize,
        /// The size it has.
        actual: usize,
    },
    /// A NaN or an infinity among the features.
    #[error("row {row} of the features holds a NaN or an infinity: did the training diverge?")]
    NonFiniteFeatures {
        /// The first such row, counted from 0.
        row: usize,
    },
    /// A row so long that its squared distances leave the range of `f32`.
    #[error("row {row} of the features is too large for squared distances in f32: scale the features down")]
    FeaturesTooLarge {
        /// The first such row, counted from 0.
        row: usize,
    },
    /// A value that half precision cannot hold.
    #[error(
        "row {row} of the features holds {value}, beyond the 65,504 of half precision: keep the features as f32"
    )]
    BeyondF16 {
        /// The first such row, counted from 0.
        row: usize,
        /// The value.
        value: f32,
    },
    /// A label without a cluster.
    #[error("label {label} of sample {row} is not below num_clusters, which is {num_clusters}")]
    LabelOutOfRange {
        /// The sample, counted from 0.
        row: usize,
        /// Its label.
        label: u32,
        /// The number of clusters.
        num_clusters: usize,
    },
    /// More clusters than samples could fill.
    #[error("{num_clusters} clusters are too many for {num_samples} samples: at most {allowed} are allowed")]
    TooManyClusters {
        /// Samples that were assigned.
        num_samples: usize,
        /// Clusters claimed.
        num_clusters: usize,
        /// The most clusters of so many samples.
        allowed: usize,
    },
    /// A result that memory cannot hold.
    #[error(
        "memory does not hold {num_neighbors} neighbours of each of {num_queries} rows: lower num_neighbors"
    )]
    TooManyNeighbors {
        /// Rows whose neighbours were requested.
        num_queries: usize,
        /// The requested number of neighbours.
        num_neighbors: usize,
    },
    /// The observer stopped the clustering.
    #[error("the clustering was cancelled")]
    Cancelled,
    /// A covariance matrix with a NaN or an infinity.
    #[error("the {dim} x {dim} covariance matrix holds a NaN or an infinity: are the features extreme?")]
    EigenDecomposition {
        /// Order of the matrix.
        dim: usize,
    },
    /// The bytes of a cluster model are not a well-formed safetensors file.
    #[error("the cluster model is truncated or not a safetensors file: write it again")]
    ModelFormat {
        /// The error of the safetensors reader.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// The metadata of a cluster model lack a key or hold another value than this version reads.
    #[error("the cluster model has {key} = {found} in its metadata, this version reads {expected}")]
    ModelMetadata {
        /// The metadata key.
        key: &'static str,
        /// The value found, or `nothing`.
        found: String,
        /// The values this version reads.
        expected: &'static str,
    },
    /// A tensor of a cluster model is missing, has another type or shape, or holds impossible values.
    #[error("the tensor {name} of the cluster model {problem}")]
    ModelTensor {
        /// Name of the tensor.
        name: &'static str,
        /// The problem.
        problem: &'static str,
    },
    /// A file holds no feature matrix that this version reads, or the features do not fit the file.
    #[error("the feature file {} cannot be used", path.display())]
    FeatureFile {
        /// The file.
        path: PathBuf,
        /// The problem.
        #[source]
        problem: FeatureFileProblem,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause given by the operating system.
        #[source]
        source: std::io::Error,
    },
}

impl HasKind for ClusteringError {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidConfig { .. }
            | Self::TooFewSamples { .. }
            | Self::TooFewCandidates { .. }
            | Self::TooManyNeighbors { .. } => Kind::Usage,
            Self::Cancelled => Kind::Stopped,
            Self::Device { .. } => Kind::Device,
            Self::ModelFormat { .. }
            | Self::ModelMetadata { .. }
            | Self::ModelTensor { .. }
            | Self::FeatureFile { .. } => Kind::Damaged,
            Self::InvalidWeight { .. }
            | Self::InvalidNeighbor { .. }
            | Self::TooManySamples { .. }
            | Self::EmptyFeatures { .. }
            | Self::DimensionMismatch { .. }
            | Self::NonFiniteFeatures { .. }
            | Self::FeaturesTooLarge { .. }
            | Self::BeyondF16 { .. }
            | Self::LabelOutOfRange { .. }
            | Self::TooManyClusters { .. }
            | Self::EigenDecomposition { .. }
            | Self::Io { .. } => Kind::Failure,
        }
    }
}
