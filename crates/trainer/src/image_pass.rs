//! One pass of images through a network that does not change.

use burn::tensor::{Device, Tensor};
use deepcluster_data::{ImageBatch, Loader, Sample, Transform};

use crate::config::TrainConfig;
use crate::error::TrainerError;
use crate::observer::{Phase, TrainEvent, TrainObserver};
use crate::tensors::images_tensor;

/// Which images are looked at, and how.
pub struct ImagePass<'a> {
    /// Where the images come from.
    pub loader: &'a Loader,
    /// What becomes of them.
    pub transform: Transform,
    /// The images, in their order.
    pub samples: Vec<Sample>,
    /// How many at a time, at least 1.
    pub batch_size: usize,
    /// Where the tensors go.
    pub device: &'a Device,
    /// What the pass is for.
    pub phase: Phase,
    /// Epoch and number of epochs, for progress; zeros where there are none.
    pub epoch: (usize, usize),
}

impl<'a> ImagePass<'a> {
    /// The pass that computes features: the central part of each of the images.
    pub fn for_features(
        settings: &TrainConfig,
        loader: &'a Loader,
        image_indices: &[usize],
        device: &'a Device,
    ) -> Self {
        let sample = |&image_index: &usize| Sample { image_index, augmentation_seed: 0 };
        Self {
            loader,
            transform: settings.feature_transform(),
            samples: image_indices.iter().map(sample).collect(),
            batch_size: settings.training.feature_batch_size,
            device,
            phase: Phase::Features,
            epoch: (0, 0),
        }
    }

    /// Hands the samples that can be read to `each`, batch by batch in their order: `[batch, 3, size, size]` and the
    /// image of each row. Progress is counted in samples. Gives the images that cannot be read, and why; `None` where
    /// `observer` asks to stop.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn run<E: From<TrainerError>>(
        self,
        observer: &mut dyn TrainObserver,
        mut each: impl FnMut(Tensor<4>, &[usize]) -> Result<(), E>,
    ) -> Result<Option<Vec<(usize, String)>>, E> {
        let device = self.device;
        self.run_batches(observer, |batch| each(images_tensor(batch, device), &batch.image_indices))
    }

    /// As [`ImagePass::run`], with the batches as they are on the host.
    pub(crate) fn run_batches<E: From<TrainerError>>(
        self,
        observer: &mut dyn TrainObserver,
        mut each: impl FnMut(&ImageBatch) -> Result<(), E>,
    ) -> Result<Option<Vec<(usize, String)>>, E> {
        let ((epoch, num_epochs), total) = (self.epoch, self.samples.len());
        observer.event(&TrainEvent::PhaseStarted { phase: self.phase, epoch, num_epochs, total });
        let plan = self.samples.chunks(self.batch_size).map(<[Sample]>::to_vec).collect();
        let (mut done, mut all_failures) = (0, Vec::new());
        for mut batch in self.loader.batches(self.transform, plan) {
            if observer.should_stop() {
                return Ok(None);
            }
            done += batch.image_indices.len() + batch.failures.len();
            all_failures.append(&mut batch.failures);
            if !batch.image_indices.is_empty() {
                each(&batch)?;
            }
            observer.event(&TrainEvent::Progress { done, loss: None });
        }
        Ok(Some(all_failures))
    }
}
