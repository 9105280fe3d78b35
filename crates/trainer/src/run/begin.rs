//! The beginning of a run, and the choice of its objective.

use std::path::Path;

use burn::tensor::Device;
use deepcluster_data::ImageFolder;
use deepcluster_engine::{SeedUse, derive_seed};
use deepcluster_models::{Backbone, Input, ModelError, Network, NetworkInfo, Precision};

use crate::error::TrainerError;
use crate::images::RunImages;
use crate::objectives::RunObjective;
use crate::objectives::deepcluster::DeepCluster;
use crate::run::checkpoint::Progress;
use crate::run::directory::RunDirectory;
use crate::run::log::EpochLog;
use crate::settings::config::{ObjectiveKind, TrainConfig};
use crate::trainer::Trainer;

impl Trainer<DeepCluster<Network>> {
    /// Begins a run of DeepCluster in the folder `out` with the network that `config` names.
    ///
    /// # Errors
    /// An invalid `config`, fewer images than clusters, or an `out` that is in use or cannot be written.
    pub fn new(
        config: TrainConfig,
        images: ImageFolder,
        out: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, TrainerError> {
        Self::begin(config, images, out, device)
    }
}

impl<O: RunObjective<Backbone = Network>> Trainer<O> {
    /// Begins a run of the objective `O` in the folder `out` with the network that `config` names.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn begin(
        config: TrainConfig,
        images: ImageFolder,
        out: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, TrainerError> {
        let network = config.network()?;
        let precision = supported_precision(&config, device)?;
        Self::with_backbone(config, images, out, device, |seed, device| {
            Ok(network.init(seed, device)?.with_precision(precision).into())
        })
    }
}

impl<O: RunObjective> Trainer<O> {
    /// As [`Trainer::begin`] for any network: `init` builds it from a seed on a device. The settings of the
    /// network in `config` are not used.
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`TrainerError::OtherInput`] where the network takes other images than those of
    /// the settings.
    pub fn with_backbone(
        config: TrainConfig,
        images: ImageFolder,
        out: impl AsRef<Path>,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<O::Backbone, ModelError>,
    ) -> Result<Self, TrainerError> {
        config.validate_without_network()?;
        refuse_other_objective::<O>(&config)?;
        let num_clusters = config.num_clusters(images.len());
        if images.len() < num_clusters.max(2) {
            let (folder, num_images) = (images.root().to_path_buf(), images.len());
            return Err(TrainerError::TooFewImages { folder, num_images, num_clusters });
        }
        config.check_num_samples(images.len())?;
        let network = init_network(&config, device, init)?;
        let info = Some(NetworkInfo::new(&network));
        let run = RunDirectory::create_with(out.as_ref(), Some(images.root()), None, &config, info)?;
        Self::assemble(config, images, run, device, network)
    }

    pub(crate) fn assemble(
        config: TrainConfig,
        images: ImageFolder,
        run: RunDirectory,
        device: &Device,
        network: O::Backbone,
    ) -> Result<Self, TrainerError> {
        let device = device.clone().without_autodiff();
        let (objective, learner) = O::create(&config, network)?;
        let (images, log) = (RunImages::new(images, &config)?, EpochLog::new(&config));
        let (devices, progress, results) = (vec![device], Progress::default(), None);
        Ok(Self { config, devices, run, images, objective, learner, progress, results, log })
    }
}

/// The initial network of a run on `device` with autodiff.
pub(crate) fn init_network<B: Backbone>(
    config: &TrainConfig,
    device: &Device,
    init: impl FnOnce(u64, &Device) -> Result<B, ModelError>,
) -> Result<B, TrainerError> {
    let device = device.clone().without_autodiff().autodiff();
    let network = init(derive_seed(config.seed, SeedUse::Weights, 0, 0), &device)?;
    refuse_other_input(&network, config)?;
    Ok(network)
}

/// Refuses a network that takes in other images than the settings make.
pub(crate) fn refuse_other_input<B: Backbone>(network: &B, config: &TrainConfig) -> Result<(), TrainerError> {
    let (takes, made): (&Input, Input) = (network.input(), config.input());
    let other = |takes, made| Err(TrainerError::OtherInput { network: network.name(), takes, made });
    if takes.side != made.side {
        return other(format!("images of {} px", takes.side), format!("data.image_size is {}", made.side));
    }
    if (takes.mean, takes.std) != (made.mean, made.std) {
        return other(
            format!("values normalised by the mean {:?} and the deviation {:?}", takes.mean, takes.std),
            format!("the settings normalise by {:?} and {:?}", made.mean, made.std),
        );
    }
    Ok(())
}

/// Refuses settings that name another objective of this crate; those of others have no name there.
pub(crate) fn refuse_other_objective<O: RunObjective>(config: &TrainConfig) -> Result<(), TrainerError> {
    let kind = config.objective.kind;
    if kind.name() == O::NAME || ObjectiveKind::ALL.iter().all(|kind| kind.name() != O::NAME) {
        return Ok(());
    }
    Err(TrainerError::InvalidConfig {
        field: "objective.kind".to_string(),
        value: kind.name().to_string(),
        allowed: format!("this trainer has the objective {}", O::NAME),
    })
}

/// The precision that is asked for, where the device has it.
pub(crate) fn supported_precision(config: &TrainConfig, device: &Device) -> Result<Precision, TrainerError> {
    let precision = config.training.precision;
    if precision.is_supported(device) {
        return Ok(precision);
    }
    Err(TrainerError::InvalidConfig {
        field: "training.precision".to_string(),
        value: "bf16".to_string(),
        allowed: "this device does not compute with bfloat16: f32".to_string(),
    })
}
