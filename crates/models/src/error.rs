//! Errors of the network definitions.

use deepcluster_files::{HasKind, Kind};

/// Why a network cannot be built, filled or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A field of a configuration is out of its range.
    #[error("{field} = {value} is not allowed: {allowed}")]
    InvalidConfig {
        /// Name of the field.
        field: &'static str,
        /// The value it had.
        value: String,
        /// The allowed values.
        allowed: String,
    },
    /// The images are too small for the network: a map would shrink to nothing.
    #[error(
        "images of {image_size} px are too small for {architecture}, which needs at least {minimum} px: \
         raise the image size or choose another architecture"
    )]
    ImageTooSmall {
        /// Name of the architecture.
        architecture: String,
        /// Side of the square input in pixels.
        image_size: usize,
        /// Smallest side that works.
        minimum: usize,
    },
    /// The network lacks something that a task needs.
    #[error("{purpose} needs a network of convolutions, such as AlexNet, and {network} is none")]
    Unsupported {
        /// Name of the network.
        network: String,
        /// The task, a noun.
        purpose: &'static str,
    },
    /// The weights belong to another network.
    #[error("these weights do not fit the network: {reason}")]
    WeightsMismatch {
        /// The part that does not fit.
        reason: String,
    },
    /// The device failed, for example out of memory.
    #[error("the device failed while weights were read: {source}")]
    Device {
        /// The error of Burn.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl HasKind for ModelError {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidConfig { .. } | Self::ImageTooSmall { .. } | Self::Unsupported { .. } => Kind::Usage,
            Self::WeightsMismatch { .. } => Kind::Damaged,
            Self::Device { .. } => Kind::Device,
        }
    }
}
