//! Errors of reading and writing files of weights.

use std::path::{Path, PathBuf};

use deepcluster_files::{HasKind, Kind};

/// Why weights cannot be read from a file or written to one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
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
    /// A format that this build cannot write.
    #[error("this build writes no {format}: build it with the cargo feature `{feature}`")]
    NotCompiled {
        /// The format.
        format: &'static str,
        /// The cargo feature that compiles it in.
        feature: &'static str,
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

impl HasKind for WeightsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Checkpoint { .. } | Self::Mismatch { .. } | Self::TooLarge { .. } => Kind::Input,
            Self::NotCompiled { .. } => Kind::Usage,
            Self::Io { .. } | Self::UnknownFormat { .. } => Kind::Failure,
        }
    }
}

impl WeightsError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
