//! A trained network without its clusters, for features, export and evaluation.

use std::sync::Arc;

use burn::tensor::Device;
use deepcluster_data::Images;
use deepcluster_engine::features::{ExtractedFeatures, FeatureBatch, extract, extract_batches};
use deepcluster_engine::{EngineError, ImageReading, Observer, SeedUse, derive_seed};
use deepcluster_models::{Backbone, ConvNet, LayerId, ModelError, NamedWeights, Network, import_weights};

use crate::error::TrainerError;
use crate::images::first_failure;
use crate::run::begin::refuse_other_input;
use crate::run::checkpoint::Checkpoint;
use crate::run::directory::RunDirectory;
use crate::run::layout::CHECKPOINTS;
use crate::run::saved_model::SavedModel;
use crate::settings::config::TrainConfig;

/// A network with the settings it was trained with.
#[derive(Debug)]
pub struct TrainedNetwork<B: Backbone> {
    pub(crate) config: TrainConfig,
    pub(crate) device: Device,
    pub(crate) network: B,
    pub(crate) head: Option<NamedWeights>,
}

impl TrainedNetwork<Network> {
    /// Loads the network of a run: the final one of a finished run, otherwise that of the newest checkpoint,
    /// so imported and interrupted runs have one too.
    ///
    /// # Errors
    /// [`TrainerError::OtherNetwork`] for a run of a network that is not one of this library;
    /// [`TrainerError::Unfinished`] where the run has no checkpoint yet; [`TrainerError::Damaged`],
    /// [`TrainerError::Mixed`] and [`TrainerError::NoUsableCheckpoint`] where its network cannot be read.
    pub fn load(run: &RunDirectory, device: &Device) -> Result<Self, TrainerError> {
        run.refuse_custom_network()?;
        let network = run.config()?.network()?;
        Self::load_backbone(run, device, |seed, device| Ok(network.init(seed, device)?.into()))
    }

    /// The network with which a run of these settings begins, to compare with.
    ///
    /// # Errors
    /// [`TrainerError::InvalidConfig`] or [`TrainerError::Model`] for settings out of range.
    pub fn untrained(config: TrainConfig, device: &Device) -> Result<Self, TrainerError> {
        config.validate()?;
        let device = device.clone().without_autodiff();
        let seed = derive_seed(config.seed, SeedUse::Weights, 0, 0);
        let network = config.network()?.init(seed, &device)?.into();
        Ok(Self { config, device, network, head: None })
    }

    /// The network as a chain of convolutions, for tasks that need its maps or its filters; `purpose`, a
    /// noun, stands in the error.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] where the network is none.
    pub fn convnet(&self, purpose: &'static str) -> Result<TrainedNetwork<ConvNet>, TrainerError> {
        let unsupported = || ModelError::Unsupported { network: self.network.name(), purpose };
        let network = self.network.as_convnet().ok_or_else(unsupported)?.clone();
        let Self { config, device, head, .. } = self;
        Ok(TrainedNetwork { config: config.clone(), device: device.clone(), network, head: head.clone() })
    }
}

impl<B: Backbone> TrainedNetwork<B> {
    /// A network that has been trained elsewhere, on `device` without autodiff, with the settings that
    /// describe its input.
    pub fn from_network(config: TrainConfig, network: B, device: &Device) -> Self {
        Self { config, device: device.clone().without_autodiff(), network, head: None }
    }

    /// As [`TrainedNetwork::load`] for any network: `init` builds it, its weights are replaced.
    ///
    /// # Errors
    /// As [`TrainedNetwork::load`].
    pub fn load_backbone(
        run: &RunDirectory,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<B, ModelError>,
    ) -> Result<Self, TrainerError> {
        let config = run.config()?;
        if let Some(SavedModel { network, head, .. }) = SavedModel::load(run)? {
            return Self::assemble(config, device, network, head, init);
        }
        let device = device.clone().without_autodiff();
        let untrained = init(0, &device)?;
        refuse_other_input(&untrained, &config)?;
        let fill = |Checkpoint { network, mut state, .. }: Checkpoint| {
            let network = import_weights(untrained.clone(), network).map_err(|error| error.to_string())?;
            Ok((network, state.weights.remove("head")))
        };
        let restored =
            Checkpoint::restore_newest(&run.file(CHECKPOINTS), fill, |problem| log::warn!("{problem}"))?;
        let (network, head) =
            restored.ok_or_else(|| TrainerError::Unfinished { path: run.path().to_path_buf() })?;
        Ok(Self { config, device, network, head })
    }

    pub(crate) fn assemble(
        config: TrainConfig,
        device: &Device,
        network: NamedWeights,
        head: Option<NamedWeights>,
        init: impl FnOnce(u64, &Device) -> Result<B, ModelError>,
    ) -> Result<Self, TrainerError> {
        let device = device.clone().without_autodiff();
        let untrained = init(0, &device)?;
        refuse_other_input(&untrained, &config)?;
        let network = import_weights(untrained, network)?;
        Ok(Self { config, device, network, head })
    }

    /// The settings the network was trained with.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// How the network reads images.
    pub fn reading(&self) -> ImageReading {
        self.config.reading()
    }

    /// The device the network lies on, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The network, on a device without autodiff.
    pub fn network(&self) -> &B {
        &self.network
    }

    /// Weights of the head that was trained last, `linear.weight` `[feature_dim, num_clusters]` and
    /// `linear.bias`. Its outputs are the clusters of the training before, not those of a finished run, which
    /// come after it.
    pub fn head(&self) -> Option<&NamedWeights> {
        self.head.as_ref()
    }

    /// Features of every image that can be read, in one matrix.
    ///
    /// # Errors
    /// [`TrainerError::NoReadableImage`] where none can be read,
    /// [`EngineError::Stopped`](deepcluster_engine::EngineError::Stopped) on request of `observer`.
    pub fn features(
        &self,
        images: &Arc<Images>,
        observer: &mut dyn Observer,
    ) -> Result<ExtractedFeatures, TrainerError> {
        let reading = self.reading();
        let loader = reading.loader(images.clone())?;
        let all: Vec<usize> = (0..images.len()).collect();
        let pass = reading.pass(&loader, &all, &self.device);
        let extracted = extract(&self.network, pass, LayerId::Features, observer)?;
        let extracted = extracted.ok_or(EngineError::Stopped { epoch: 0, step: 0 })?;
        refuse_none(images, extracted.image_indices.len(), &extracted.failures)?;
        Ok(extracted)
    }

    /// Hands the features of every image to `sink`, batch by batch; returns the images that cannot be read,
    /// with reasons.
    pub(crate) fn extract_batches(
        &self,
        images: &Arc<Images>,
        layer: LayerId,
        observer: &mut dyn Observer,
        sink: &mut dyn FnMut(FeatureBatch<'_>) -> Result<(), TrainerError>,
    ) -> Result<Vec<(usize, String)>, TrainerError> {
        let reading = self.reading();
        let loader = reading.loader(images.clone())?;
        let all: Vec<usize> = (0..images.len()).collect();
        let pass = reading.pass(&loader, &all, &self.device);
        let mut num_read = 0;
        let mut count = |batch: FeatureBatch<'_>| {
            num_read += batch.image_indices.len();
            sink(batch)
        };
        let failures = extract_batches(&self.network, pass, layer, observer, &mut count)?;
        let failures = failures.ok_or(EngineError::Stopped { epoch: 0, step: 0 })?;
        refuse_none(images, num_read, &failures)?;
        Ok(failures)
    }
}

/// Refuses a folder of which no image can be read.
fn refuse_none(images: &Images, num_read: usize, failures: &[(usize, String)]) -> Result<(), TrainerError> {
    if num_read > 0 {
        return Ok(());
    }
    let reason = first_failure(images, failures);
    let folder = images.location();
    Err(TrainerError::NoReadableImage { folder, num_files: images.len(), reason })
}
