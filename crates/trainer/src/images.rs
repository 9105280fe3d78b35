//! The images of a run, whose list is settled once all have been read.

use std::sync::Arc;

use burn::tensor::Device;
use deepcluster_clustering::Rows;
use deepcluster_data::{ImageFolder, Loader};
use deepcluster_engine::features::FeatureStore;
use deepcluster_engine::features::extract_to;
use deepcluster_engine::{EngineError, EpochOf, Event, ImagePass, Observer, explained, try_features};
use deepcluster_models::Backbone;

use crate::error::TrainerError;
use crate::run::directory::RunDirectory;
use crate::settings::config::TrainConfig;

/// The images of a run and their loader.
pub(crate) struct RunImages {
    pub(crate) folder: Arc<ImageFolder>,
    pub(crate) loader: Loader,
}

impl RunImages {
    pub(crate) fn new(folder: ImageFolder, config: &TrainConfig) -> Result<Self, TrainerError> {
        let folder = Arc::new(folder);
        let loader = Loader::new(folder.clone(), config.training_loader_config())?;
        Ok(Self { folder, loader })
    }

    /// A pass over some images for their features.
    pub(crate) fn pass<'a>(
        &'a self,
        image_indices: &[usize],
        config: &TrainConfig,
        device: &'a Device,
        epoch: EpochOf,
    ) -> ImagePass<'a> {
        let mut pass = config.reading().pass(&self.loader, image_indices, device);
        pass.epoch = Some(epoch);
        pass
    }

    /// Features of all images by `network`, the batches computed on `devices` in turn, with the images that cannot be
    /// read and why.
    pub(crate) fn features<B: Backbone>(
        &self,
        network: &B,
        config: &TrainConfig,
        devices: &[Device],
        epoch: EpochOf,
        observer: &mut dyn Observer,
    ) -> Result<(Box<dyn Rows>, Vec<(usize, String)>), EngineError> {
        let all: Vec<usize> = (0..self.folder.len()).collect();
        let device = &devices[0];
        let feature_type = config.training.feature_type;
        let mut features = FeatureStore::new(device, feature_type, all.len(), network.feature_dim());
        let pass = self.pass(&all, config, device, epoch);
        let failures = extract_to(&mut features, &network.valid(), &devices[1..], pass, observer)
            .map_err(|error| explain_features(error, network, config, device))?;
        let failures = failures.ok_or(EngineError::Stopped { epoch: epoch.epoch, step: 0 })?;
        Ok((features.finish()?, failures))
    }

    /// Fixes the list of images for the whole run, without those that cannot be read; returns warnings.
    pub(crate) fn settle(
        &mut self,
        failures: &[(usize, String)],
        config: &TrainConfig,
        run: &RunDirectory,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainerError> {
        let mut images = (*self.folder).clone();
        images.exclude(failures);
        let folder = images.root().to_path_buf();
        if images.is_empty() {
            let reason = first_failure(&self.folder, failures);
            return Err(TrainerError::NoReadableImage { folder, num_files: failures.len(), reason });
        }
        let num_clusters = config.num_clusters(images.len());
        if images.len() < num_clusters {
            return Err(TrainerError::TooFewImages { folder, num_images: images.len(), num_clusters });
        }
        for skipped in images.skipped() {
            log::warn!("skipped {}: {}", skipped.path.display(), skipped.reason);
        }
        if let [first, ..] = images.skipped() {
            observer.event(&Event::Warning(format!(
                "{} file(s) could not be read and are skipped; skipped.csv names them, first {}: {}",
                images.skipped().len(),
                first.path.display(),
                first.reason
            )));
        }
        run.write_images(&images)?;
        if !failures.is_empty() {
            *self = Self::new(images, config)?;
        }
        Ok(())
    }
}

/// An error of the feature pass; where memory was lacking, with the batch that fits.
pub(crate) fn explain_features<B: Backbone>(
    error: EngineError,
    network: &B,
    config: &TrainConfig,
    device: &Device,
) -> EngineError {
    let asked = config.training.feature_batch_size;
    explained(error, "training.feature_batch_size", asked, device, |batch| {
        try_features(network, batch, device)
    })
}

/// Path and reason of the first image that could not be read.
pub(crate) fn first_failure(images: &ImageFolder, failures: &[(usize, String)]) -> String {
    let describe = |(index, reason): &(usize, String)| format!("{}: {reason}", images.path(*index).display());
    failures.first().map(describe).unwrap_or_default()
}
