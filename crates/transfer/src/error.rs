//! Errors of transfer protocols.

use std::path::{Path, PathBuf};

use deepcluster_clustering::ClusteringError;
use deepcluster_data::{DataError, Location};
use deepcluster_engine::EngineError;
use deepcluster_evaluation::EvaluationError;
use deepcluster_files::{HasKind, Kind};
use deepcluster_models::ModelError;
use deepcluster_trainer::TrainerError;

use crate::proposals::error::ProposalError;

/// Errors of transfer protocols.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
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
    /// A folder has no labels.
    #[error(
        "the images in {folder} have no labels: put those of each class in a folder of its own, or name a CSV file"
    )]
    NoLabels {
        /// Place of the images.
        folder: Location,
    },
    /// The test images have a class that the training images lack.
    #[error("{folder} has the class '{class}', which no training image has")]
    UnknownClass {
        /// Place of the test images.
        folder: Location,
        /// Name of the class.
        class: String,
    },
    /// A layer does not exist.
    #[error("the network has no layer '{layer}': choose among {known}")]
    UnknownLayer {
        /// The name as given.
        layer: String,
        /// The names that exist.
        known: String,
    },
    /// The state of a task that was stopped belongs to another one.
    #[error(
        "{path} holds the state of another task ({difference}): remove it to start over, or choose another folder"
    )]
    OtherTask {
        /// The file.
        path: PathBuf,
        /// The first difference: a setting with both of its values, or the network or the data.
        difference: String,
    },
    /// An image of a data set has no boxes to look at.
    #[error("no proposals for the image '{image}'")]
    NoProposals {
        /// Its name without extension.
        image: String,
    },
    /// An image of a ground truth is not there.
    #[error("the image '{image}' of the ground truth is not in {folder}")]
    NoSuchImage {
        /// Its name without extension.
        image: String,
        /// Place that was searched.
        folder: Location,
    },
    /// An image that is needed, or a whole set, cannot be read.
    #[error("cannot read the image '{image}', which the measurement needs")]
    NoReadableImage {
        /// Its name.
        image: String,
    },
    /// The ground truth of a retrieval cannot be understood.
    #[error("{path} does not hold the ground truth of queries: {reason}")]
    MalformedGroundTruth {
        /// The file or folder.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A mask has another size than its image.
    #[error(
        "the mask of '{image}' has {} x {} pixels, the image {} x {}",
        mask_size.0, mask_size.1, image_size.0, image_size.1
    )]
    MaskMismatch {
        /// Name of the image without extension.
        image: String,
        /// Width and height of the image.
        image_size: (u32, u32),
        /// Width and height of the mask.
        mask_size: (u32, u32),
    },
    /// A mask has a value without a class.
    #[error(
        "the mask of '{image}' has the value {value}, but there are {num_classes} classes: list them in classes.txt, or \
         set the value to ignore"
    )]
    UnknownMaskValue {
        /// Name of the image without extension.
        image: String,
        /// The value.
        value: u8,
        /// Classes that have a name.
        num_classes: usize,
    },
    /// The loss of a task is no longer a number.
    #[error("the loss was not a finite number in step {step}: choose a learning rate below {learning_rate}")]
    Diverged {
        /// The step, from 0.
        step: usize,
        /// The step size it had.
        learning_rate: f64,
    },
    /// A file is damaged.
    #[error("{path} is damaged: {reason}; remove it to start over")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
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
    /// The device failed.
    #[error("the device failed {during}: {source}")]
    Device {
        /// The work in progress.
        during: &'static str,
        /// The error of Burn.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The observer asked to stop.
    #[error("stopped; the same command resumes it")]
    Stopped,
    /// Reading images failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A measure cannot be taken.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// The network cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Proposals cannot be found, read or written.
    #[error(transparent)]
    Proposals(#[from] ProposalError),
    /// A search failed.
    #[error(transparent)]
    Clustering(#[from] ClusteringError),
    /// The run cannot be read, or computing its features failed.
    #[error(transparent)]
    Trainer(#[from] TrainerError),
    /// Computing features failed, or was stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl HasKind for TransferError {
    fn kind(&self) -> Kind {
        match self {
            Self::Stopped => Kind::Stopped,
            Self::InvalidConfig { .. }
            | Self::NoLabels { .. }
            | Self::UnknownClass { .. }
            | Self::UnknownLayer { .. }
            | Self::NoProposals { .. }
            | Self::NoSuchImage { .. }
            | Self::MalformedGroundTruth { .. }
            | Self::UnknownMaskValue { .. }
            | Self::OtherTask { .. } => Kind::Usage,
            Self::NoReadableImage { .. } | Self::MaskMismatch { .. } => Kind::Input,
            Self::Damaged { .. } => Kind::Damaged,
            Self::Device { .. } => Kind::Device,
            Self::Data(error) => error.kind(),
            Self::Evaluation(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Proposals(error) => error.kind(),
            Self::Clustering(error) => error.kind(),
            Self::Trainer(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Diverged { .. } | Self::Io { .. } => Kind::Failure,
        }
    }
}

/// A setting: its name, its value as text, whether it is in its range, and the range.
pub(crate) type Check = (&'static str, String, bool, &'static str);

/// Checks that every setting is in its range.
pub(crate) fn check_settings(checks: impl IntoIterator<Item = Check>) -> Result<(), TransferError> {
    match checks.into_iter().find(|(_, _, is_sound, _)| !is_sound) {
        None => Ok(()),
        Some((field, value, _, allowed)) => {
            Err(TransferError::InvalidConfig { field, value, allowed: allowed.to_string() })
        }
    }
}

impl TransferError {
    pub(crate) fn device(
        during: &'static str,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Device { during, source: error.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
