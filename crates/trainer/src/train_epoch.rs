//! The training half of an epoch: the network learns to predict the clusters.

use std::time::Instant;

use burn::tensor::{Int, Tensor, TensorData};
use deepcluster_data::{ImageBatch, Sample};
use deepcluster_models::{Backbone, DropoutMasks, Head};

use crate::error::TrainerError;
use crate::observer::{Phase, TrainEvent, TrainObserver};
use crate::pseudo_labels::sample_images;
use crate::seeds::{SeedUse, derive_seed};
use crate::sgd::Sgd;
use crate::tensors::images_tensor;
use crate::trainer::Trainer;
use crate::training_step::training_step;

impl<B: Backbone> Trainer<B> {
    /// Trains on the pseudo-labels of the newest clustering, from the step the run is at to the end of the epoch.
    pub(crate) fn train_epoch(&mut self, observer: &mut dyn TrainObserver) -> Result<(), TrainerError> {
        let start = Instant::now();
        let plan = self.training_plan();
        let num_steps = plan.len();
        let total: usize = plan.iter().map(Vec::len).sum();
        self.announce(observer, Phase::Training, total);
        let rest: Vec<Vec<Sample>> = plan.into_iter().skip(self.progress.step).collect();
        let mut done = total - rest.iter().map(Vec::len).sum::<usize>();
        let first = done;
        let mut head = match self.head.take() {
            Some(head) if self.progress.step > 0 => head,
            _ => self.new_head(),
        };
        let batches = self.loader().batches(self.config.training_transform(), rest);
        for batch in batches {
            if let Some((image_index, reason)) = batch.failures.first() {
                return Err(TrainerError::ImageVanished {
                    path: self.images().path(*image_index),
                    reason: reason.clone(),
                });
            }
            done += batch.image_indices.len();
            let loss = self.step(&mut head, &batch)?;
            self.progress.loss_sum += loss;
            self.progress.step += 1;
            observer.event(&TrainEvent::Progress { done, loss: Some(loss) });
            if self.progress.step < num_steps {
                let every = self.config.training.checkpoint_steps;
                let stop = observer.should_stop();
                if stop || (every > 0 && self.progress.step.is_multiple_of(every)) {
                    self.head = Some(head.clone());
                    self.save_checkpoint(observer)?;
                }
                if stop {
                    let (epoch, step) = (self.progress.epoch, self.progress.step);
                    return Err(TrainerError::Stopped { epoch, step });
                }
            }
        }
        self.head = Some(head);
        let seconds = start.elapsed().as_secs_f64();
        self.progress.timings.training_seconds = seconds;
        self.progress.timings.training_images_per_second = (done - first) as f64 / seconds;
        Ok(())
    }

    /// The images of every step of the epoch, with the seeds of their crops.
    fn training_plan(&self) -> Vec<Vec<Sample>> {
        let epoch = self.progress.epoch;
        let seed = self.config.seed;
        let assignments = self.assignments.as_ref().expect("every epoch begins with its clustering");
        let images = sample_images(
            assignments,
            self.config.training.sampling,
            self.config.num_samples(assignments.len()),
            derive_seed(seed, SeedUse::Sampling, epoch, 0),
        );
        let sample = |(position, &image): (usize, &u32)| Sample {
            image_index: image as usize,
            augmentation_seed: derive_seed(seed, SeedUse::Augmentation, epoch, position),
        };
        let samples: Vec<Sample> = images.iter().enumerate().map(sample).collect();
        samples.chunks(self.config.training.batch_size).map(<[Sample]>::to_vec).collect()
    }

    fn new_head(&self) -> Head {
        let assignments = self.assignments.as_ref().expect("every epoch begins with its clustering");
        let seed = derive_seed(self.config.seed, SeedUse::Head, self.progress.epoch, 0);
        let device = self.device.clone().autodiff();
        Head::new(self.network.feature_dim(), assignments.num_clusters(), seed, &device)
    }

    /// One step of SGD on a batch; gives the loss.
    fn step(&mut self, head: &mut Head, batch: &ImageBatch) -> Result<f64, TrainerError> {
        let (epoch, step) = (self.progress.epoch, self.progress.step);
        let device = self.device.clone().autodiff();
        // For backbones with random layers of Burn, which draw from the device.
        device.seed(derive_seed(self.config.seed, SeedUse::Device, epoch, step));
        let labels = self.assignments.as_ref().expect("every epoch begins with its clustering").labels();
        let targets: Vec<i64> = batch.image_indices.iter().map(|&index| i64::from(labels[index])).collect();
        let num_images = targets.len();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [num_images]), &device);
        let images = images_tensor(batch, &device);

        let dropout = DropoutMasks::from_seed(derive_seed(self.config.seed, SeedUse::Dropout, epoch, step));
        // The head's own optimiser: no momentum, since it lives for one epoch (the original does the same).
        let training = &self.config.training;
        let mut head_sgd = Sgd::new(training.learning_rate, 0.0, training.weight_decay);
        let (network, sgd) = (&mut self.network, &mut self.optimizer);
        let loss = training_step(network, head, images, targets, &dropout, sgd, &mut head_sgd)?;
        if loss.is_finite() { Ok(loss) } else { Err(TrainerError::Diverged { epoch, step, loss }) }
    }
}
