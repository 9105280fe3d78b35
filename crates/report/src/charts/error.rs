//! Errors of charts.

use std::path::PathBuf;

use deepcluster_files::{HasKind, Kind};

/// Errors of charts and sheets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// No series has a point that can be drawn.
    #[error("the chart '{title}' has no point that is a finite number")]
    Empty {
        /// Title of the chart.
        title: String,
    },
    /// A logarithmic axis has no place for a value.
    #[error(
        "the chart '{title}' has the value {value} on a logarithmic axis, where only numbers above 0 have a place"
    )]
    NotPositive {
        /// Title of the chart.
        title: String,
        /// The value.
        value: f64,
    },
    /// The name of a file ends in neither `.svg` nor `.png`.
    #[error("{} is not the name of a chart: it must end in .svg or .png", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// Drawing failed.
    #[error("the chart cannot be drawn: {reason}")]
    Drawing {
        /// The words of the plotting library.
        reason: String,
    },
    /// Writing failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
}

impl HasKind for PlotError {
    fn kind(&self) -> Kind {
        match self {
            Self::Empty { .. }
            | Self::NotPositive { .. }
            | Self::UnknownFormat { .. }
            | Self::Drawing { .. }
            | Self::Io { .. } => Kind::Failure,
        }
    }
}
