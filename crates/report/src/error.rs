//! Errors of reports and pictures.

use std::path::{Path, PathBuf};

use crate::charts::PlotError;
use deepcluster_clustering::ClusteringError;
use deepcluster_data::DataError;
use deepcluster_engine::EngineError;
use deepcluster_files::{HasKind, Kind};
use deepcluster_models::ModelError;
use deepcluster_trainer::TrainerError;

/// Errors of reports and pictures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A setting is out of its range.
    #[error("{field} = {value} is not allowed: {allowed}")]
    InvalidConfig {
        /// Name of the setting.
        field: &'static str,
        /// The value it had.
        value: String,
        /// The allowed values.
        allowed: String,
    },
    /// A layer does not exist.
    #[error("the network has no layer '{layer}': choose among {known}")]
    UnknownLayer {
        /// The name as given.
        layer: String,
        /// The names that exist.
        known: String,
    },
    /// A text does not name filters.
    #[error(
        "'{text}' is not a list of filters: write 3, or 0..16, or 0.. for all, or several separated by commas"
    )]
    MalformedFilters {
        /// The text as given.
        text: String,
    },
    /// A filter does not exist.
    #[error("{layer} has no filter {filter}: its filters are 0 to {last}")]
    NoSuchFilter {
        /// Name of the layer.
        layer: String,
        /// The number as given.
        filter: usize,
        /// The last that exists.
        last: usize,
    },
    /// Images are too small for a layer.
    #[error("images of {size} px are too small for {layer}: choose a larger size")]
    ImagesTooSmall {
        /// Side of the images in pixels.
        size: usize,
        /// Name of the layer.
        layer: String,
    },
    /// The page cannot be put together.
    #[error("cannot build the page: {reason}")]
    Page {
        /// The part that failed.
        reason: String,
    },
    /// Reading or writing a file failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The observer asked to stop.
    #[error("stopped before the results were finished")]
    Stopped,
    /// Reading images failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A search failed.
    #[error(transparent)]
    Clustering(#[from] ClusteringError),
    /// A chart or sheet cannot be drawn or written.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The run cannot be read.
    #[error(transparent)]
    Trainer(#[from] TrainerError),
    /// Computing features failed, or was stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl HasKind for ReportError {
    fn kind(&self) -> Kind {
        match self {
            Self::Stopped => Kind::Stopped,
            Self::InvalidConfig { .. }
            | Self::UnknownLayer { .. }
            | Self::MalformedFilters { .. }
            | Self::NoSuchFilter { .. }
            | Self::ImagesTooSmall { .. } => Kind::Usage,
            Self::Data(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Clustering(error) => error.kind(),
            Self::Plot(error) => error.kind(),
            Self::Trainer(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Page { .. } | Self::Io { .. } => Kind::Failure,
        }
    }
}

impl ReportError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
