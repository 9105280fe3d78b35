//! Errors of reports.

use std::path::{Path, PathBuf};

use deepcluster_clustering::ClusteringError;
use deepcluster_engine::EngineError;
use deepcluster_files::{HasKind, Kind};
use deepcluster_plots::PlotError;
use deepcluster_trainer::TrainerError;

/// Why there is no report.
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
        allowed: &'static str,
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
        /// The system's answer.
        source: std::io::Error,
    },
    /// The observer asked to stop.
    #[error("stopped before the report was finished")]
    Stopped,
    /// A search failed.
    #[error(transparent)]
    Clustering(#[from] ClusteringError),
    /// A chart cannot be drawn.
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
            Self::InvalidConfig { .. } => Kind::Usage,
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
