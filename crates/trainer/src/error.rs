//! Errors of training runs.

use std::path::PathBuf;

use deepcluster_clustering::ClusteringError;
use deepcluster_data::{DataError, Location};
use deepcluster_engine::EngineError;
use deepcluster_evaluation::EvaluationError;
use deepcluster_files::{HasKind, Kind};
use deepcluster_models::ModelError;
use deepcluster_models::weights::WeightsError;

/// Why a run cannot start, continue or be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// A field of the configuration is out of its range.
    #[error("{field} = {value} is not allowed: {allowed}")]
    InvalidConfig {
        /// Dotted name of the field, as in the configuration file.
        field: String,
        /// The value it had.
        value: String,
        /// The allowed values.
        allowed: String,
    },
    /// A configuration file or override names something that does not exist.
    #[error("unknown configuration key '{key}'{hint}")]
    UnknownKey {
        /// The key as given.
        key: String,
        /// `; did you mean '...'?` or the list of keys.
        hint: String,
    },
    /// A configuration file or override cannot be parsed.
    #[error("{origin}: {reason}")]
    UnreadableConfig {
        /// File or option.
        origin: String,
        /// Message of the parser.
        reason: String,
    },
    /// Fewer images than clusters, or too few to train at all.
    #[error("{}", too_few_images(folder, *num_images, *num_clusters))]
    TooFewImages {
        /// Where the images lie.
        folder: Location,
        /// Readable images.
        num_images: usize,
        /// Requested number of clusters.
        num_clusters: usize,
    },
    /// No image could be decoded.
    #[error("none of the {num_files} images in {folder} can be decoded; the first: {reason}")]
    NoReadableImage {
        /// Where the images lie.
        folder: Location,
        /// Files tried.
        num_files: usize,
        /// Why the first failed.
        reason: String,
    },
    /// The output folder holds something already.
    #[error("{path} already holds a run: resume it, or choose another output folder")]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// The output folder is in use for something else.
    #[error("{path} exists and is not empty, but is not a deepcluster run: choose another output folder")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A folder is not a run directory.
    #[error("{path} is not a run directory ({reason})")]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The missing or invalid part.
        reason: String,
    },
    /// A folder prepared for a run that never started.
    #[error("{path} is not a run directory: no run has started in it yet")]
    NotBegun {
        /// The folder.
        path: PathBuf,
    },
    /// A run directory written by another version of this crate.
    #[error(
        "{path} was written in format {found}; this version reads formats up to {supported}: use the version that wrote it, or train again"
    )]
    OtherVersion {
        /// The folder.
        path: PathBuf,
        /// Format of the folder.
        found: u64,
        /// Format of this crate.
        supported: u64,
    },
    /// A run directory is used by another process.
    #[error("{path} is being trained by another process; wait for it, or stop it")]
    RunLocked {
        /// The folder.
        path: PathBuf,
    },
    /// No checkpoint of a run can be read.
    #[error("no checkpoint of {path} can be read: {reason}. Start again with a new output folder")]
    NoUsableCheckpoint {
        /// The run directory.
        path: PathBuf,
        /// Why the newest fails.
        reason: String,
    },
    /// A run is not finished, so the requested result does not exist yet.
    #[error("{path} is not finished: resume it")]
    Unfinished {
        /// The run directory.
        path: PathBuf,
    },
    /// A run that was imported without images.
    #[error("{path} has no images: name their folder")]
    NoImages {
        /// The run directory.
        path: PathBuf,
    },
    /// A run was started on another folder of images.
    #[error(
        "the run in {path} was begun on {images}, and {asked} lacks {num_missing} of its {num_images} images, the \
         first {missing}: leave the folder out, or name one that holds them all"
    )]
    OtherImages {
        /// The run directory.
        path: PathBuf,
        /// The place of its images.
        images: Location,
        /// Requested location.
        asked: Location,
        /// Images of the run that are not in it.
        num_missing: usize,
        /// Images of the run.
        num_images: usize,
        /// The first that is not in it.
        missing: PathBuf,
    },
    /// The image folder of a run no longer exists.
    #[error(
        "the images of the run in {path} were in {images}, which is gone: name the folder they are in now"
    )]
    ImagesGone {
        /// The run directory.
        path: PathBuf,
        /// Former folder of its images.
        images: Location,
    },
    /// The images of a run are at a place that this crate cannot open.
    #[error(
        "the images of the run in {path} are at {images}, which only the program can open that began the run: pass \
         them when it is resumed"
    )]
    ImagesUnknown {
        /// The run directory.
        path: PathBuf,
        /// The place of its images.
        images: Location,
    },
    /// Result files of a run that belong to different models.
    #[error(
        "{first} and {second} in {path} do not belong together: {reason}. Resume the run to write its results again"
    )]
    Mixed {
        /// The run directory.
        path: PathBuf,
        /// One of the files.
        first: &'static str,
        /// The other.
        second: String,
        /// The difference.
        reason: String,
    },
    /// A file of a run is damaged.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage found.
        reason: String,
    },
    /// Settings of a resumed run that differ from those it began with.
    #[error("a resumed run keeps its settings: {key} is {saved} in {path}, but {asked} was given")]
    ConfigChanged {
        /// The run directory.
        path: PathBuf,
        /// Dotted name of the setting.
        key: String,
        /// Value in the run.
        saved: String,
        /// Requested value.
        asked: String,
    },
    /// Features cannot be written under that name.
    #[error("features cannot be written to {path}: {reason}")]
    UnknownFeatureFile {
        /// Requested file.
        path: PathBuf,
        /// The allowed values.
        reason: &'static str,
    },
    /// The network takes in other images than the settings make.
    #[error("{network} takes {takes}, and {made}: change the setting, or the network")]
    OtherInput {
        /// Name of the network.
        network: String,
        /// The images it takes.
        takes: String,
        /// The images of the run, with the setting.
        made: String,
    },
    /// The network of a run is not one of this library.
    #[error(
        "the run in {} was trained with the network {network}, which is not one of this program: load it in \
         Rust, with the code of that network (TrainedNetwork::load_backbone)",
        path.display()
    )]
    OtherNetwork {
        /// The run.
        path: PathBuf,
        /// Name of its network.
        network: String,
    },
    /// Reading or writing a file failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Training or computing features failed, or was stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A checkpoint or an export of another program cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Reading images failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Clustering failed.
    #[error(transparent)]
    Clustering(#[from] ClusteringError),
    /// The network cannot be built or filled.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Measuring failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
}

impl HasKind for TrainerError {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidConfig { .. }
            | Self::UnknownKey { .. }
            | Self::UnreadableConfig { .. }
            | Self::ConfigChanged { .. }
            | Self::RunExists { .. }
            | Self::NotEmpty { .. }
            | Self::NotARun { .. }
            | Self::NotBegun { .. }
            | Self::NoImages { .. }
            | Self::ImagesGone { .. }
            | Self::OtherInput { .. }
            | Self::OtherNetwork { .. }
            | Self::ImagesUnknown { .. }
            | Self::UnknownFeatureFile { .. }
            | Self::OtherImages { .. }
            | Self::TooFewImages { .. } => Kind::Usage,
            Self::NoReadableImage { .. } => Kind::Input,
            Self::Mixed { .. } | Self::Damaged { .. } | Self::NoUsableCheckpoint { .. } => Kind::Damaged,
            Self::Engine(error) => error.kind(),
            Self::Weights(error) => error.kind(),
            Self::Data(error) => error.kind(),
            Self::Clustering(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Evaluation(error) => error.kind(),
            Self::OtherVersion { .. }
            | Self::RunLocked { .. }
            | Self::Unfinished { .. }
            | Self::Io { .. } => Kind::Failure,
        }
    }
}

/// Advice that can be followed: at least two clusters.
fn too_few_images(folder: &Location, num_images: usize, num_clusters: usize) -> String {
    let found = format!("{num_images} readable image(s) in {folder}");
    if num_images < 2 {
        return format!(
            "{found} cannot be clustered: add images, at least 2, preferably ten or more of each kind you expect"
        );
    }
    format!(
        "{found} cannot fill {num_clusters} clusters: lower objective.clustering.num_clusters to at most {num_images} \
         or add images"
    )
}

impl TrainerError {
    /// An empty list of devices.
    pub(crate) fn no_device() -> Self {
        let (name, reason) = (String::new(), "none was named".to_string());
        EngineError::NoDevice { name, reason }.into()
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
