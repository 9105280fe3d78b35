//! Errors of proposals.

use std::path::PathBuf;

use deepcluster_files::{HasKind, Kind};

/// Errors of proposals.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
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
    /// Pixels that do not fill the image.
    #[error("{num_bytes} bytes are not a {width} x {height} RGB image")]
    InvalidImage {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes given.
        num_bytes: usize,
    },
    /// A file of MATLAB, such as the original selective search writes.
    #[error(
        "{} is a MATLAB file: convert it to CSV (image, x_min, y_min, x_max, y_max, in pixels from 0) with the lines of \
         Python in docs/evaluation.md, section voc-detect: scipy.io.loadmat reads its variables 'boxes' and 'images'",
        path.display()
    )]
    Matlab {
        /// The file.
        path: PathBuf,
    },
    /// A file of another format.
    #[error("{} is not a file of proposals: its name must end in .csv", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be understood.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
}

impl HasKind for ProposalError {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidConfig { .. } | Self::UnknownFormat { .. } | Self::Matlab { .. } => Kind::Usage,
            Self::InvalidImage { .. } | Self::Malformed { .. } => Kind::Input,
            Self::Io { .. } => Kind::Failure,
        }
    }
}
