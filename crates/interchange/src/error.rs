//! Errors of reading and writing other programs' formats.

use std::path::{Path, PathBuf};

use deepcluster_files::{HasKind, Kind};

/// Why a network cannot be exchanged with another program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterchangeError {
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
    /// A file is not a checkpoint that can be imported.
    #[error("{path} cannot be imported: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A name is none of an export format.
    #[error("'{name}' is not an export format: choose {allowed}")]
    UnknownFormat {
        /// The name as given.
        name: String,
        /// The names that exist.
        allowed: String,
    },
    /// The parts of a network to export do not belong together.
    #[error("the network cannot be exported: {reason}")]
    Mismatch {
        /// Which part does not fit, and to what.
        reason: String,
    },
    /// A model is larger than its format allows.
    #[error(
        "the model takes {num_bytes} bytes, but ONNX files are limited to 2 GiB ({limit} bytes): export it as safetensors, \
         or train a network with a smaller network.width"
    )]
    TooLarge {
        /// Size of the model in bytes.
        num_bytes: u64,
        /// Largest size in bytes.
        limit: u64,
    },
}

impl HasKind for InterchangeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Checkpoint { .. } | Self::Mismatch { .. } | Self::TooLarge { .. } => Kind::Input,
            Self::Io { .. } | Self::UnknownFormat { .. } => Kind::Failure,
        }
    }
}

impl InterchangeError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
