//! Training on several devices: each has a copy of what learns and a part of every batch, and all take the
//! same step.
//!
//! Batch normalisation sees the part of its device, and the running statistics are those of the first, as in
//! PyTorch's `DataParallel`, which the original code uses.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use burn::tensor::Device;
use deepcluster_data::ImageBatch;

use crate::error::EngineError;
use crate::learner::{Learner, StepLoss};
use crate::losses::Losses;
use crate::objective::{Batch, Objective, Place, Step};
use crate::ranks::Ranks;
use crate::seeds::SeedUse;
use crate::tensors::images_tensor;

/// A part of a batch, for one device.
struct Shard {
    batch: ImageBatch,
    /// Its share of the images of the whole batch.
    weight: f64,
    step: Step,
}

/// The devices beside the first, each with a thread of its own that waits for its parts of the batches.
pub(crate) struct Replicas<'scope> {
    shards: Vec<Sender<Shard>>,
    threads: Vec<ScopedJoinHandle<'scope, Result<(), EngineError>>>,
}

impl<'scope> Replicas<'scope> {
    /// Starts a thread for each of `learners`, on its device and with its rank.
    pub(crate) fn start<'env: 'scope, O: Objective>(
        scope: &'scope Scope<'scope, 'env>,
        objective: &'env O,
        learners: Vec<Learner<O::Model>>,
        devices: &[Device],
        ranks: impl Iterator<Item = Ranks>,
    ) -> Self {
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for ((learner, device), ranks) in learners.into_iter().zip(devices.iter().cloned()).zip(ranks) {
            let (sender, receiver) = channel();
            shards.push(sender);
            // The rank is dropped with the thread, even on panic, so that the others do not wait for it.
            threads.push(scope.spawn(move || work(objective, learner, &receiver, &device, &ranks)));
        }
        Self { shards, threads }
    }

    /// One step of all devices on their parts of `batch`; the first works on this thread. Returns the loss of
    /// the whole batch.
    pub(crate) fn step<O: Objective>(
        &self,
        objective: &O,
        learner: &mut Learner<O::Model>,
        batch: ImageBatch,
        place: Place,
        device: &Device,
        ranks: &Ranks,
    ) -> Result<StepLoss, EngineError> {
        device.seed(place.seed(SeedUse::Device, place.step));
        let mut shards = split(batch, self.shards.len() + 1, place).into_iter();
        let own = shards.next().expect("a batch has a part for the first device");
        for (sender, shard) in self.shards.iter().zip(shards) {
            // A thread that is gone has left the ranks: the step below fails.
            let _ = sender.send(shard);
        }
        step(objective, learner, own, device, ranks)
    }

    /// Ends the threads; returns `outcome`, that of the first device, or the error on another device which it
    /// echoes.
    pub(crate) fn finish<T, E: From<EngineError>>(self, outcome: Result<T, E>) -> Result<T, E> {
        drop(self.shards);
        let join = |thread: ScopedJoinHandle<'_, Result<(), EngineError>>| {
            let panicked =
                |_| Err(EngineError::device("in a training step", "a thread of a device ended with a panic"));
            thread.join().unwrap_or_else(panicked).err()
        };
        let mut errors: Vec<EngineError> = self.threads.into_iter().filter_map(join).collect();
        let is_echo = |error: &EngineError| matches!(error, EngineError::Collective(_));
        errors.sort_by_key(is_echo);
        match errors.into_iter().next() {
            Some(cause) if outcome.is_ok() || !is_echo(&cause) => Err(cause.into()),
            _ => outcome,
        }
    }
}

fn work<O: Objective>(
    objective: &O,
    mut learner: Learner<O::Model>,
    shards: &Receiver<Shard>,
    device: &Device,
    ranks: &Ranks,
) -> Result<(), EngineError> {
    for shard in shards {
        step(objective, &mut learner, shard, device, ranks)?;
    }
    Ok(())
}

/// The step of one device.
fn step<O: Objective>(
    objective: &O,
    learner: &mut Learner<O::Model>,
    shard: Shard,
    device: &Device,
    ranks: &Ranks,
) -> Result<StepLoss, EngineError> {
    let tracking = device.clone().autodiff();
    objective.schedule(learner.groups_mut(), shard.step.place);
    let losses = if shard.batch.image_indices.is_empty() {
        Losses::none(device)
    } else {
        let images = images_tensor(&shard.batch, &tracking);
        let batch = Batch { images, image_indices: &shard.batch.image_indices };
        objective.losses(&learner.model, &batch, &shard.step)?.scaled(shard.weight)
    };
    learner.step(losses, ranks)
}

/// A nearly equal part of a batch for each device.
fn split(mut batch: ImageBatch, num_devices: usize, place: Place) -> Vec<Shard> {
    let num_images = batch.image_indices.len();
    let sizes = shard_sizes(num_images, num_devices).into_iter().enumerate();
    let shard = |(part, size): (usize, usize)| {
        let rest = batch.split_off(size);
        let own = std::mem::replace(&mut batch, rest);
        Shard { batch: own, weight: size as f64 / num_images.max(1) as f64, step: Step { place, part } }
    };
    sizes.map(shard).collect()
}

/// How many of `num_images` each of `num_devices` takes: nearly equal parts, the first the larger.
fn shard_sizes(num_images: usize, num_devices: usize) -> Vec<usize> {
    (0..num_devices)
        .map(|device| num_images / num_devices + usize::from(device < num_images % num_devices))
        .collect()
}
