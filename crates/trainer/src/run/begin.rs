//! The beginning of a run, and the choice of its objective.

use std::path::Path;

use burn::tensor::Device;
use deepcluster_data::Images;
use deepcluster_engine::{SeedUse, derive_seed};
use deepcluster_models::{Backbone, Input, ModelError, Network, NetworkInfo};

use crate::error::TrainerError;
use crate::images::RunImages;
use crate::objectives::RunObjective;
use crate::objectives::config::ObjectiveKind;
use crate::objectives::deepcluster::DeepCluster;
use crate::run::checkpoint::Progress;
use crate::run::directory::RunDirectory;
use crate::run::log::EpochLog;
use crate::settings::config::TrainConfig;
use crate::trainer::Trainer;

impl Trainer<DeepCluster<Network>> {
    /// Begins a run of DeepCluster in the folder `out` with the network that `config` names.
    ///
    /// # Errors
    /// An invalid `config`, fewer images than clusters, or an `out` that is in use or cannot be written.
    pub fn new(
        config: TrainConfig,
        images: Images,
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
        images: Images,
        out: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, TrainerError> {
        // Before anything is written.
        check_precision(&config, device)?;
        Self::begin_with(config, images, out, device, named_network)
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
        images: Images,
        out: impl AsRef<Path>,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<O::Backbone, ModelError>,
    ) -> Result<Self, TrainerError> {
        Self::begin_with(config, images, out, device, |_, seed, device| Ok(init(seed, device)?))
    }

    fn begin_with(
        config: TrainConfig,
        images: Images,
        out: impl AsRef<Path>,
        device: &Device,
        init: impl FnOnce(&TrainConfig, u64, &Device) -> Result<O::Backbone, TrainerError>,
    ) -> Result<Self, TrainerError> {
        config.validate_without_network()?;
        refuse_other_objective::<O>(&config)?;
        let num_clusters = config.num_clusters(images.len());
        if images.len() < num_clusters.max(2) {
            let (folder, num_images) = (images.location(), images.len());
            return Err(TrainerError::TooFewImages { folder, num_images, num_clusters });
        }
        config.check_num_samples(images.len())?;
        let network = init_network(&config, device, init)?;
        let info = Some(NetworkInfo::new(&network));
        let run = RunDirectory::create_with(out.as_ref(), Some(&images.location()), None, &config, info)?;
        Self::assemble(config, images, run, device, network)
    }

    pub(crate) fn assemble(
        config: TrainConfig,
        images: Images,
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
    init: impl FnOnce(&TrainConfig, u64, &Device) -> Result<B, TrainerError>,
) -> Result<B, TrainerError> {
    let device = device.clone().without_autodiff().autodiff();
    let network = init(config, derive_seed(config.seed, SeedUse::Weights, 0, 0), &device)?;
    refuse_other_input(&network, config)?;
    Ok(network)
}

/// Refuses a network that takes in other images than the settings make.
pub(crate) fn refuse_other_input<B: Backbone>(network: &B, config: &TrainConfig) -> Result<(), TrainerError> {
    let (takes, made): (&Input, Input) = (network.input(), config.input());
    let other = |takes, made| Err(TrainerError::OtherInput { network: network.name(), takes, made });
    if takes.side != made.side {
        return other(format!("images of {} px", takes.side), format!("images.size is {}", made.side));
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
    let is_own = ObjectiveKind::ALL.iter().any(|kind| kind.name() == O::NAME);
    if is_own && config.objective.kind().name() != O::NAME {
        return Err(other_objective::<O>(config));
    }
    Ok(())
}

/// The error for settings of another objective than `O`.
pub(crate) fn other_objective<O: RunObjective>(config: &TrainConfig) -> TrainerError {
    TrainerError::InvalidConfig {
        field: "objective.kind".to_string(),
        value: config.objective.kind().name().to_string(),
        allowed: format!("this trainer has the objective {}", O::NAME),
    }
}

/// The network that the settings name, in the precision they ask for.
pub(crate) fn named_network(
    config: &TrainConfig,
    seed: u64,
    device: &Device,
) -> Result<Network, TrainerError> {
    check_precision(config, device)?;
    Ok(config.network()?.init(seed, device)?.with_precision(config.network.precision).into())
}

fn check_precision(config: &TrainConfig, device: &Device) -> Result<(), TrainerError> {
    if config.network.precision.is_supported(device) {
        return Ok(());
    }
    Err(TrainerError::InvalidConfig {
        field: "network.precision".to_string(),
        value: "bf16".to_string(),
        allowed: "this device does not compute with bfloat16: f32".to_string(),
    })
}
