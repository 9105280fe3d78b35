//! Runs of any objective, chosen by the settings.

use std::path::Path;

use burn::tensor::Device;
use deepcluster_data::Images;
use deepcluster_models::Network;

use crate::error::TrainerError;
use crate::objectives::RunObjective;
use crate::objectives::config::ObjectiveKind;
use crate::objectives::deepcluster::DeepCluster;
use crate::objectives::nat::Nat;
use crate::observer::TrainObserver;
use crate::run::directory::RunDirectory;
use crate::settings::config::TrainConfig;
use crate::trained::model::TrainedModel;
use crate::trainer::Trainer;

/// A [`Trainer`] of any objective.
pub trait TrainingRun {
    /// The settings of the run.
    fn config(&self) -> &TrainConfig;

    /// The images of the run.
    fn images(&self) -> &Images;

    /// The folder of the run.
    fn run_directory(&self) -> &RunDirectory;

    /// The epoch the run is in, from 0.
    fn epoch(&self) -> usize;

    /// Whether all is done already.
    fn is_finished(&self) -> bool;

    /// As [`Trainer::run`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    fn run(self: Box<Self>, observer: &mut dyn TrainObserver) -> Result<TrainedModel<Network>, TrainerError>;
}

/// Begins a run in the folder `out` with the objective and the network that `config` names, on one device or
/// several.
///
/// ```no_run
/// use deepcluster_data::Images;
/// use deepcluster_trainer::{ObjectiveConfig, ObjectiveKind, TrainConfig, begin_run, parse_devices};
///
/// # fn main() -> Result<(), deepcluster_trainer::TrainerError> {
/// let mut config = TrainConfig::default();
/// config.objective = ObjectiveConfig::new(ObjectiveKind::Nat);
/// let run = begin_run(config, Images::open("photos")?, "run", &parse_devices("cpu")?)?;
/// run.run(&mut ())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Trainer::new`].
pub fn begin_run(
    config: TrainConfig,
    images: Images,
    out: impl AsRef<Path>,
    devices: &[Device],
) -> Result<Box<dyn TrainingRun>, TrainerError> {
    let kind = config.objective.kind();
    open_kind(kind, Start::New(Box::new((config, images))), out.as_ref(), devices)
}

/// Resumes the run in the folder `out`, whatever its objective, on one device or several; `change` is that of
/// [`Trainer::resume`].
///
/// # Errors
/// As [`Trainer::resume`].
pub fn resume_run(
    out: impl AsRef<Path>,
    devices: &[Device],
    change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
) -> Result<Box<dyn TrainingRun>, TrainerError> {
    resume_run_images(out, None, devices, change)
}

/// As [`resume_run`]; `images`, where they are passed, must have all images of the run. Runs need this whose
/// images are of a source that only the caller can open.
///
/// # Errors
/// As [`Trainer::take_up_images`].
pub fn resume_run_images(
    out: impl AsRef<Path>,
    images: Option<Images>,
    devices: &[Device],
    change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
) -> Result<Box<dyn TrainingRun>, TrainerError> {
    let kind = RunDirectory::open(out.as_ref())?.config()?.objective.kind();
    open_kind(kind, Start::Resumed(Box::new(images), Box::new(change)), out.as_ref(), devices)
}

enum Start<'a> {
    New(Box<(TrainConfig, Images)>),
    Resumed(Box<Option<Images>>, Box<Change<'a>>),
}

/// A change of the settings of a run that is resumed.
type Change<'a> = dyn FnOnce(&mut TrainConfig) -> Result<(), TrainerError> + 'a;

/// The one place that maps kinds to objectives.
fn open_kind(
    kind: ObjectiveKind,
    start: Start<'_>,
    out: &Path,
    devices: &[Device],
) -> Result<Box<dyn TrainingRun>, TrainerError> {
    match kind {
        ObjectiveKind::DeepCluster => open::<DeepCluster<Network>>(start, out, devices),
        ObjectiveKind::Nat => open::<Nat<Network>>(start, out, devices),
    }
}

fn open<O: RunObjective<Backbone = Network> + 'static>(
    start: Start<'_>,
    out: &Path,
    devices: &[Device],
) -> Result<Box<dyn TrainingRun>, TrainerError> {
    let (device, others) = devices.split_first().ok_or_else(TrainerError::no_device)?;
    let trainer = match start {
        Start::New(begun) => Trainer::<O>::begin(begun.0, begun.1, out, device)?,
        Start::Resumed(images, change) => Trainer::<O>::take_up_images(out, *images, device, change)?,
    };
    Ok(Box::new(trainer.train_beside(others.to_vec())))
}

impl<O: RunObjective<Backbone = Network>> TrainingRun for Trainer<O> {
    fn config(&self) -> &TrainConfig {
        self.config()
    }

    fn images(&self) -> &Images {
        self.images()
    }

    fn run_directory(&self) -> &RunDirectory {
        self.run_directory()
    }

    fn epoch(&self) -> usize {
        self.epoch()
    }

    fn is_finished(&self) -> bool {
        self.is_finished()
    }

    fn run(self: Box<Self>, observer: &mut dyn TrainObserver) -> Result<TrainedModel<Network>, TrainerError> {
        Trainer::run(*self, observer)
    }
}
