//! One pass of images through a network that does not change.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use deepcluster_data::{ImageFolder, Loader, Sample, Transform};
use deepcluster_trainer::{Phase, TrainConfig, TrainEvent, TrainObserver};

use crate::error::TransferError;
use crate::tensors::images_tensor;

/// Which images are looked at, and how.
pub(crate) struct ImagePass<'a> {
    pub(crate) images: &'a Arc<ImageFolder>,
    /// Of the network's run: how images are loaded, and how many at a time.
    pub(crate) settings: &'a TrainConfig,
    pub(crate) transform: Transform,
    pub(crate) samples: Vec<Sample>,
    /// Without autodiff.
    pub(crate) device: &'a Device,
    pub(crate) phase: Phase,
    /// Epoch and number of epochs, for progress; zeros where there are none.
    pub(crate) epoch: (usize, usize),
}

impl ImagePass<'_> {
    /// Hands the samples that can be read to `each`, batch by batch in their order: `[batch, 3, size, size]` and the
    /// image of each row.
    pub(crate) fn run(
        self,
        observer: &mut dyn TrainObserver,
        mut each: impl FnMut(Tensor<4>, &[usize]) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let (epoch, num_epochs) = self.epoch;
        let total = self.samples.len();
        observer.event(&TrainEvent::PhaseStarted { phase: self.phase, epoch, num_epochs, total });
        let loader = Loader::new(self.images.clone(), self.settings.loader_config())?;
        let batch_size = self.settings.training.feature_batch_size;
        let plan = self.samples.chunks(batch_size).map(<[Sample]>::to_vec).collect();
        let mut done = 0;
        for mut batch in loader.batches(self.transform, plan) {
            if observer.should_stop() {
                return Err(TransferError::Stopped);
            }
            done += batch.image_indices.len() + batch.failures.len();
            if !batch.image_indices.is_empty() {
                each(images_tensor(&mut batch, self.device), &batch.image_indices)?;
            }
            observer.event(&TrainEvent::Progress { done, loss: None });
        }
        Ok(())
    }
}
