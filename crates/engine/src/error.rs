//! Failures of learning.

use std::error::Error;
use std::path::PathBuf;

use deepcluster_clustering::ClusteringError;
use deepcluster_collectives::CollectiveError;
use deepcluster_data::DataError;
use deepcluster_files::{HasKind, Kind};
use deepcluster_models::ModelError;

/// Why a network cannot be trained or compute features.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A device that does not exist or is not compiled in.
    #[error("device '{name}' is not available: {reason}")]
    NoDevice {
        /// The name as given.
        name: String,
        /// The devices that are available.
        reason: String,
    },
    /// The device failed.
    #[error("the device failed {during}: {source}")]
    Device {
        /// The use of the device at that moment.
        during: &'static str,
        /// The report of Burn.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The memory of the device does not hold a batch.
    #[error(
        "the device has not enough memory for {setting} = {asked}: {}",
        match fits {
            Some(fits) => format!("{fits} fit, so try {setting}={fits}"),
            None => "not even one image fits".to_string(),
        }
    )]
    OutOfMemory {
        /// Dotted name of the setting.
        setting: &'static str,
        /// Its value, in images.
        asked: usize,
        /// The largest that was found to fit.
        fits: Option<usize>,
    },
    /// The loss is no longer a finite number.
    #[error(
        "training diverged in epoch {epoch}, step {step}: the loss is {loss}. Lower objective.learning_rate"
    )]
    Diverged {
        /// Epoch, from 0.
        epoch: usize,
        /// Step in the epoch, from 0.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// An image that could be read when the run began can no longer be read.
    #[error(
        "{path} was readable when the run began but no longer is ({reason}): restore the file and resume the run"
    )]
    ImageVanished {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        reason: String,
    },
    /// The observer asked to stop.
    #[error("stopped at epoch {epoch}, step {step}")]
    Stopped {
        /// Epoch, from 0.
        epoch: usize,
        /// Next step of the epoch.
        step: usize,
    },
    /// An objective failed.
    #[error("the objective '{objective}' failed: {source}")]
    Objective {
        /// Its name.
        objective: &'static str,
        /// Its error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The state of an objective could not be saved.
    #[error(transparent)]
    State(Box<dyn Error + Send + Sync>),
    /// A rank that trains along is gone.
    #[error("cannot sum gradients over devices: {0}")]
    Collective(#[from] CollectiveError),
    /// Reading images failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Clustering failed.
    #[error(transparent)]
    Clustering(#[from] ClusteringError),
    /// A network cannot be built or filled.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl EngineError {
    /// A failure of the device; `during` states its use at that moment.
    pub fn device(during: &'static str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Device { during, source: error.into() }
    }

    /// A failure of an objective.
    pub fn objective(objective: &'static str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Objective { objective, source: error.into() }
    }
}

impl HasKind for EngineError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoDevice { .. } => Kind::Usage,
            Self::Stopped { .. } => Kind::Stopped,
            Self::Device { .. } | Self::OutOfMemory { .. } => Kind::Device,
            Self::ImageVanished { .. } => Kind::Input,
            Self::Diverged { .. } | Self::Objective { .. } | Self::State(_) | Self::Collective(_) => {
                Kind::Failure
            }
            Self::Data(error) => error.kind(),
            Self::Clustering(error) => error.kind(),
            Self::Model(error) => error.kind(),
        }
    }
}
