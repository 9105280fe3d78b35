//! The beginning of a run, and the choice of its objective.

use std::path::Path;

use burn::tensor::Device;
use deepcluster_data::Images;
use deepcluster_engine::{SeedUse, derive_seed};
use deepcluster_models::{ConvNet, ModelError, Precision};

use crate::error::TrainerError;
use crate::images::RunImages;
use crate::objectives::RunObjective;
use crate::objectives::deepcluster::DeepCluster;
use crate::run::checkpoint::Progress;
use crate::run::directory::RunDirectory;
use crate::run::log::EpochLog;
use crate::settings::config::{ObjectiveKind, TrainConfig};
use crate::trainer::Trainer;

impl Trainer<DeepCluster<ConvNet>> {
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

impl<O: RunObjective<Backbone = ConvNet>> Trainer<O> {
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
        let network = config.network()?;
        let precision = supported_precision(&config, device)?;
        Self::with_backbone(config, images, out, device, |seed, device| {
            Ok(network.init(seed, device)?.with_precision(precision))
        })
    }
}

impl<O: RunObjective> Trainer<O> {
    /// As [`Trainer::begin`] for any network: `init` builds it from a seed on a device.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_backbone(
        config: TrainConfig,
        images: Images,
        out: impl AsRef<Path>,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<O::Backbone, ModelError>,
    ) -> Result<Self, TrainerError> {
        config.validate()?;
        refuse_other_objective::<O>(&config)?;
        let num_clusters = config.num_clusters(images.len());
        if images.len() < num_clusters.max(2) {
            let (folder, num_images) = (images.location(), images.len());
            return Err(TrainerError::TooFewImages { folder, num_images, num_clusters });
        }
        config.check_num_samples(images.len())?;
        let run = RunDirectory::create(out.as_ref(), &images.location(), &config)?;
        Self::assemble(config, images, run, device, init)
    }

    pub(crate) fn assemble(
        config: TrainConfig,
        images: Images,
        run: RunDirectory,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<O::Backbone, ModelError>,
    ) -> Result<Self, TrainerError> {
        let device = device.clone().without_autodiff();
        let network = init(derive_seed(config.seed, SeedUse::Weights, 0, 0), &device.clone().autodiff())?;
        let (objective, learner) = O::create(&config, network)?;
        let (images, log) = (RunImages::new(images, &config)?, EpochLog::new(&config));
        let (devices, progress, results) = (vec![device], Progress::default(), None);
        Ok(Self { config, devices, run, images, objective, learner, progress, results, log })
    }
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
