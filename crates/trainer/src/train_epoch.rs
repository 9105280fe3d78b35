//! The training half of an epoch: the network learns to predict the clusters.

use std::collections::VecDeque;
use std::time::Instant;

use burn::tensor::{Int, Tensor, TensorData};
use deepcluster_clustering::Assignments;
use deepcluster_data::{ImageBatch, Sample};
use deepcluster_kernels::device_limits;
use deepcluster_models::{Backbone, DropoutMasks, Head};

use crate::data_parallel::{Replica, ReplicaMut, Shard, Workers, shard_sizes};
use crate::error::TrainerError;
use crate::observer::{Phase, TrainEvent, TrainObserver};
use crate::out_of_memory::{explained, try_training};
use crate::pseudo_labels::sample_images;
use crate::seeds::{SeedUse, derive_seed};
use crate::sgd::Sgd;
use crate::tensors::{host_values, images_tensor};
use crate::trainer::Trainer;
use crate::training_step::{queue_training_step, training_step};

impl<B: Backbone> Trainer<B> {
    /// Trains on the pseudo-labels of the newest clustering, from the step the run is at to the end of the epoch.
    pub(crate) fn train_epoch(&mut self, observer: &mut dyn TrainObserver) -> Result<(), TrainerError> {
        let start = Instant::now();
        let plan = self.training_plan();
        let num_steps = plan.len();
        let total: usize = plan.iter().map(Vec::len).sum();
        self.announce(observer, Phase::Training, total);
        let rest: Vec<Vec<Sample>> = plan.into_iter().skip(self.progress.step).collect();
        let num_left: usize = rest.iter().map(Vec::len).sum();
        let span = Span { num_steps, num_done: total - num_left };
        let mut head = match self.head.take() {
            Some(head) if self.progress.step > 0 => head,
            _ => self.new_head(),
        };
        if self.devices.len() == 1 {
            self.train_batches(&mut head, rest, None, span, observer)?;
        } else {
            let replicas = self.replicas(&head)?;
            let devices = self.devices.clone();
            std::thread::scope(|scope| {
                let workers = Workers::start(scope, &devices, replicas);
                let outcome = self.train_batches(&mut head, rest, Some(&workers), span, observer);
                // What went wrong on another device explains the step that waited for it.
                workers.finish().and(outcome)
            })?;
        }
        self.head = Some(head);
        let seconds = start.elapsed().as_secs_f64();
        self.progress.timings.training_seconds = seconds;
        self.progress.timings.training_images_per_second = num_left as f64 / seconds;
        Ok(())
    }

    /// The steps of an epoch that are left, on the first device and those of `workers`.
    fn train_batches(
        &mut self,
        head: &mut Head,
        plan: Vec<Vec<Sample>>,
        workers: Option<&Workers<'_>>,
        span: Span,
        observer: &mut dyn TrainObserver,
    ) -> Result<(), TrainerError> {
        let mut done = span.num_done;
        let mut losses = LossQueue { waiting: VecDeque::new(), last: None };
        let num_waiting = if device_limits(self.device()).is_some() { MOST_WAITING } else { 0 };
        let batches = self.loader().batches(self.config.training_transform(), plan);
        for batch in batches {
            if let Some((image_index, reason)) = batch.failures.first() {
                return Err(TrainerError::ImageVanished {
                    path: self.images().path(*image_index),
                    reason: reason.clone(),
                });
            }
            done += batch.image_indices.len();
            let loss = match workers {
                None => self.step(head, &batch)?,
                Some(workers) => self.parallel_step(head, batch, workers)?,
            };
            losses.waiting.push_back((self.progress.step, loss));
            self.progress.step += 1;
            self.settle(&mut losses, num_waiting)?;
            observer.event(&TrainEvent::Progress { done, loss: losses.last });
            if self.progress.step < span.num_steps {
                let every = self.config.training.checkpoint_steps;
                let stop = observer.should_stop();
                if stop || (every > 0 && self.progress.step.is_multiple_of(every)) {
                    self.settle(&mut losses, 0)?;
                    self.head = Some(head.clone());
                    self.save_checkpoint(observer)?;
                }
                if stop {
                    let (epoch, step) = (self.progress.epoch, self.progress.step);
                    return Err(TrainerError::Stopped { epoch, step });
                }
            }
        }
        self.settle(&mut losses, 0)
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
        let batch_size = self.config.training.batch_size;
        let steps = images.chunks(batch_size).zip((0..).step_by(batch_size));
        steps.map(|(images, first)| (first..).zip(images).map(sample).collect()).collect()
    }

    fn new_head(&self) -> Head {
        let assignments = self.assignments.as_ref().expect("every epoch begins with its clustering");
        let seed = derive_seed(self.config.seed, SeedUse::Head, self.progress.epoch, 0);
        let device = self.device().clone().autodiff();
        Head::new(self.network.feature_dim(), assignments.num_clusters(), seed, &device)
    }

    /// Reads the losses of all steps but the last `num_waiting`.
    fn settle(&mut self, losses: &mut LossQueue, num_waiting: usize) -> Result<(), TrainerError> {
        let epoch = self.progress.epoch;
        while losses.waiting.len() > num_waiting {
            let Some((step, loss)) = losses.waiting.pop_front() else { break };
            let loss = loss.read().map_err(|error| self.explain(error))?;
            if !loss.is_finite() {
                return Err(TrainerError::Diverged { epoch, step, loss });
            }
            self.progress.loss_sum += loss;
            losses.last = Some(loss);
        }
        Ok(())
    }

    /// An error of a step; where memory was lacking, what would have fitted.
    fn explain(&self, error: TrainerError) -> TrainerError {
        let num_clusters = self.assignments.as_ref().map_or(2, Assignments::num_clusters);
        let (num_devices, asked) = (self.devices.len(), self.config.training.batch_size);
        explained(error, "training.batch_size", asked, self.device(), |batch| {
            try_training(&self.network, num_clusters, batch.div_ceil(num_devices), self.device())
        })
    }

    /// Copies of the network and its head for all devices but the first.
    fn replicas(&self, head: &Head) -> Result<Vec<Replica<B>>, TrainerError> {
        let head_sgd = self.head_sgd();
        let copy = |device| Replica::copy_of(&self.network, head, [&self.optimizer, &head_sgd], device);
        self.devices.iter().skip(1).map(copy).collect()
    }

    /// The head's own optimiser: no momentum, since it lives for one epoch (the original does the same).
    fn head_sgd(&self) -> Sgd {
        let training = &self.config.training;
        Sgd::new(training.learning_rate, 0.0, training.weight_decay)
    }

    /// The clusters of the images of a batch.
    fn targets(&self, batch: &ImageBatch) -> Vec<i64> {
        let labels = self.assignments.as_ref().expect("every epoch begins with its clustering").labels();
        batch.image_indices.iter().map(|&index| i64::from(labels[index])).collect()
    }

    /// One step of all devices, each on its part of a batch.
    fn parallel_step(
        &mut self,
        head: &mut Head,
        mut batch: ImageBatch,
        workers: &Workers<'_>,
    ) -> Result<StepLoss, TrainerError> {
        let (epoch, step, seed) = (self.progress.epoch, self.progress.step, self.config.seed);
        let num_images = batch.image_indices.len();
        let mut shards = Vec::new();
        for (rank, size) in shard_sizes(num_images, self.devices.len()).into_iter().enumerate() {
            let rest = batch.split_off(size);
            let part = std::mem::replace(&mut batch, rest);
            let targets = self.targets(&part);
            let weight = size as f64 / num_images.max(1) as f64;
            // Each part has masks of its own; the first those of a single device.
            let dropout_seed = derive_seed(seed, SeedUse::Dropout, epoch, step).wrapping_add(rank as u64);
            shards.push(Shard { batch: part, targets, weight, dropout_seed });
        }
        let device = self.device().clone();
        device.seed(derive_seed(seed, SeedUse::Device, epoch, step));
        let mut head_sgd = self.head_sgd();
        let (network, network_sgd) = (&mut self.network, &mut self.optimizer);
        let first = ReplicaMut { network, head, network_sgd, head_sgd: &mut head_sgd };
        workers.step(first, shards, &device).map(StepLoss::Queued)
    }

    /// One step of SGD on a batch; gives the loss.
    fn step(&mut self, head: &mut Head, batch: &ImageBatch) -> Result<StepLoss, TrainerError> {
        let (epoch, step) = (self.progress.epoch, self.progress.step);
        let device = self.device().clone().autodiff();
        // For backbones with random layers of Burn, which draw from the device.
        device.seed(derive_seed(self.config.seed, SeedUse::Device, epoch, step));
        let targets = self.targets(batch);
        let num_images = targets.len();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [num_images]), &device);
        let images = images_tensor(batch, &device);

        let dropout = DropoutMasks::from_seed(derive_seed(self.config.seed, SeedUse::Dropout, epoch, step));
        let mut head_sgd = self.head_sgd();
        let (network, sgd) = (&mut self.network, &mut self.optimizer);
        if device_limits(&device).is_none() {
            let loss = training_step(network, head, images, targets, &dropout, sgd, &mut head_sgd)?;
            return Ok(StepLoss::Known(loss));
        }
        let loss = queue_training_step(network, head, images, targets, &dropout, sgd, &mut head_sgd);
        Ok(StepLoss::Queued(loss))
    }
}

/// Steps whose losses a GPU may owe: it works on one while the host prepares the next.
const MOST_WAITING: usize = 2;

/// The loss of a step.
#[allow(clippy::large_enum_variant, reason = "there are as many as wait")]
enum StepLoss {
    Known(f64),
    /// On a device that may still be computing it.
    Queued(Tensor<1>),
}

impl StepLoss {
    fn read(self) -> Result<f64, TrainerError> {
        match self {
            Self::Known(loss) => Ok(loss),
            Self::Queued(loss) => Ok(f64::from(host_values(loss, "in a training step")?[0])),
        }
    }
}

/// Losses that have not been read, so that a GPU need not wait for the host after every step.
struct LossQueue {
    /// Number of the step in the epoch, and its loss.
    waiting: VecDeque<(usize, StepLoss)>,
    /// The last that was read.
    last: Option<f64>,
}

/// The part of an epoch that steps belong to.
#[derive(Clone, Copy)]
struct Span {
    /// Steps of the whole epoch.
    num_steps: usize,
    /// Images of the steps before.
    num_done: usize,
}
