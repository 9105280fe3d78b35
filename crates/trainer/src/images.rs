//! The images of a run, whose list is settled once all have been read.

use std::sync::Arc;

use burn::tensor::Device;
use deepcluster_data::{Images, Loader};
use deepcluster_engine::features::{GatheredFeatures, gather_features};
use deepcluster_engine::{EngineError, EpochOf, Event, ImagePass, Observer};
use deepcluster_models::Backbone;

use crate::error::TrainerError;
use crate::run::directory::RunDirectory;
use crate::settings::config::TrainConfig;

/// The images of a run and their loader.
pub(crate) struct RunImages {
    pub(crate) folder: Arc<Images>,
    pub(crate) loader: Loader,
}

impl RunImages {
    pub(crate) fn new(folder: Images, config: &TrainConfig) -> Result<Self, TrainerError> {
        let folder = Arc::new(folder);
        let loader = Loader::new(folder.clone(), config.images.training_loader())?;
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

    /// Features of all images by `network`, the batches computed on `devices` in turn.
    pub(crate) fn features<B: Backbone>(
        &self,
        network: &B,
        config: &TrainConfig,
        devices: &[Device],
        epoch: EpochOf,
        observer: &mut dyn Observer,
    ) -> Result<GatheredFeatures, EngineError> {
        let all: Vec<usize> = (0..self.folder.len()).collect();
        let (device, feature_type) = (&devices[0], config.training.feature_type);
        let pass = self.pass(&all, config, device, epoch);
        let gathered = gather_features(&network.valid(), pass, &devices[1..], feature_type, observer)?;
        gathered.ok_or(EngineError::Stopped { epoch: epoch.epoch, step: 0 })
    }

    /// Fixes the list of images for the whole run, without those that cannot be read.
    pub(crate) fn settle(
        &mut self,
        failures: &[(usize, String)],
        config: &TrainConfig,
        run: &RunDirectory,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainerError> {
        let mut images = (*self.folder).clone();
        images.exclude(failures);
        let folder = images.location();
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
            self.folder = Arc::new(images);
            // Decoded images stay in the cache of the loader.
            self.loader.set_images(self.folder.clone());
        }
        Ok(())
    }
}

/// Path and reason of the first image that could not be read.
pub(crate) fn first_failure(images: &Images, failures: &[(usize, String)]) -> String {
    let describe = |(index, reason): &(usize, String)| format!("{}: {reason}", images.place(*index));
    failures.first().map(describe).unwrap_or_default()
}
