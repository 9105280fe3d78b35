//! The steps of an epoch, on one device or several.

use std::collections::VecDeque;

use burn::tensor::Device;
use deepcluster_data::{ImageBatch, Loader};
use deepcluster_kernels::device_limits;

use crate::error::EngineError;
use crate::events::{EpochOf, Event, Observer, Phase};
use crate::learner::{Learner, StepLoss};
use crate::memory::{explained, try_step};
use crate::objective::{Batch, Objective, Place, Step};
use crate::ranks::Ranks;
use crate::replicas::Replicas;
use crate::seeds::SeedUse;
use crate::tensors::images_tensor;

/// Steps whose losses a GPU may still be computing while the host prepares the next one.
const MOST_WAITING: usize = 2;

/// The training half of an epoch: the steps of the plan that are left.
pub struct EpochSteps<'a, O: Objective> {
    /// The objective, whose epoch has begun.
    pub objective: &'a O,
    /// The learner, on the first of `devices`.
    pub learner: &'a mut Learner<O::Model>,
    /// Each takes its part of every batch; batch normalisation sees the parts. Not empty.
    pub devices: &'a [Device],
    /// The source of the images.
    pub loader: &'a Loader,
    /// Images per step, for out-of-memory messages.
    pub batch_size: usize,
    /// Epochs of the run, for progress.
    pub num_epochs: usize,
    /// Steps between two checkpoints within an epoch; 0 for none.
    pub checkpoint_steps: usize,
}

/// How far an epoch has come.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Its place; the steps count up.
    pub place: Place,
    /// Sum of the losses of the steps that are done.
    pub loss_sum: f64,
}

/// The samples of an epoch that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainedEpoch {
    /// Samples of the whole epoch.
    pub num_samples: usize,
    /// Samples of the steps that were left.
    pub num_trained: usize,
}

/// Saves a learner within an epoch.
pub type SaveState<'a, M, E> = dyn FnMut(&Learner<M>, &Course, &mut dyn Observer) -> Result<(), E> + 'a;

impl<O: Objective> EpochSteps<'_, O> {
    /// Trains to the end of the epoch and moves `course` along.
    ///
    /// `save` is called at checkpoints and before a stop, when the losses of all steps are known.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] on request of `observer`, [`EngineError::Diverged`],
    /// [`EngineError::ImageVanished`], [`EngineError::OutOfMemory`], those of the device and of the
    /// objective, and those of `save`.
    pub fn run<E: From<EngineError>>(
        self,
        course: &mut Course,
        save: &mut SaveState<'_, O::Model, E>,
        observer: &mut dyn Observer,
    ) -> Result<TrainedEpoch, E> {
        if self.devices.len() == 1 {
            return self.run_on(None, course, save, observer);
        }
        let (objective, devices) = (self.objective, self.devices);
        let mut ranks = Ranks::of_devices(devices).into_iter();
        let own = ranks.next().unwrap_or_else(Ranks::single);
        let copies = devices[1..].iter().map(|device| self.learner.copy_to(device));
        let copies: Vec<_> = copies.collect::<Result<_, EngineError>>()?;
        std::thread::scope(|scope| {
            let replicas = Replicas::start(scope, objective, copies, &devices[1..], ranks);
            let outcome = self.run_on(Some((&replicas, own)), course, save, observer);
            replicas.finish(outcome)
        })
    }

    fn run_on<E: From<EngineError>>(
        self,
        others: Option<(&Replicas<'_>, Ranks)>,
        course: &mut Course,
        save: &mut SaveState<'_, O::Model, E>,
        observer: &mut dyn Observer,
    ) -> Result<TrainedEpoch, E> {
        let plan = self.objective.plan(course.place);
        let (num_steps, total) = (plan.steps.len(), plan.num_samples());
        let epoch = EpochOf { epoch: course.place.epoch, num_epochs: self.num_epochs };
        observer.event(&Event::Started { phase: Phase::images("training"), epoch: Some(epoch), total });
        let rest: Vec<_> = plan.steps.into_iter().skip(course.place.step).collect();
        let num_left: usize = rest.iter().map(Vec::len).sum();
        let mut done = total - num_left;
        let num_waiting = if device_limits(&self.devices[0]).is_some() { MOST_WAITING } else { 0 };
        let mut losses = LossQueue { waiting: VecDeque::new(), last: None };
        let Self { objective, learner, devices, loader, batch_size, checkpoint_steps, .. } = self;
        let place = course.place;
        let explain = |learner: &Learner<O::Model>, error: EngineError| {
            explained(error, "training.batch_size", batch_size, &devices[0], |batch| {
                try_step(objective, learner, batch.div_ceil(devices.len()), place, &devices[0])
            })
        };
        for batch in loader.batches(objective.view(), rest) {
            if let Some((image_index, reason)) = batch.failures.first() {
                let path = loader.images().place(*image_index).into();
                return Err(EngineError::ImageVanished { path, reason: reason.clone() }.into());
            }
            done += batch.image_indices.len();
            let loss = match &others {
                None => single_step(objective, learner, &batch, course.place, &devices[0]),
                Some((replicas, ranks)) => {
                    replicas.step(objective, learner, batch, course.place, &devices[0], ranks)
                }
            };
            let loss = loss.map_err(|error| explain(learner, error))?;
            losses.waiting.push_back((course.place.step, loss));
            course.place.step += 1;
            losses.settle(num_waiting, course).map_err(|error| explain(learner, error))?;
            observer.event(&Event::Progress { done, loss: losses.last });
            if course.place.step < num_steps {
                let stop = observer.should_stop();
                if stop || (checkpoint_steps > 0 && course.place.step.is_multiple_of(checkpoint_steps)) {
                    losses.settle(0, course).map_err(|error| explain(learner, error))?;
                    save(learner, course, observer)?;
                }
                if stop {
                    let Place { epoch, step, .. } = course.place;
                    return Err(EngineError::Stopped { epoch, step }.into());
                }
            }
        }
        losses.settle(0, course).map_err(|error| explain(learner, error))?;
        Ok(TrainedEpoch { num_samples: total, num_trained: num_left })
    }
}

/// A step of one device on a whole batch.
fn single_step<O: Objective>(
    objective: &O,
    learner: &mut Learner<O::Model>,
    batch: &ImageBatch,
    place: Place,
    device: &Device,
) -> Result<StepLoss, EngineError> {
    let tracking = device.clone().autodiff();
    // For backbones with random layers of Burn, which draw from the device.
    tracking.seed(place.seed(SeedUse::Device, place.step));
    let images = images_tensor(batch, &tracking);
    let batch = Batch { images, image_indices: &batch.image_indices };
    objective.schedule(learner.groups_mut(), place);
    let losses = objective.losses(&learner.model, &batch, &Step { place, part: 0 })?;
    learner.step(losses, &Ranks::single())
}

/// Losses that have not been read, so that a GPU need not wait for the host after every step.
struct LossQueue {
    /// Number of the step in the epoch, and its loss.
    waiting: VecDeque<(usize, StepLoss)>,
    /// The last that was read.
    last: Option<f64>,
}

impl LossQueue {
    /// Reads the losses of all steps but the last `num_waiting`.
    fn settle(&mut self, num_waiting: usize, course: &mut Course) -> Result<(), EngineError> {
        let epoch = course.place.epoch;
        while self.waiting.len() > num_waiting {
            let Some((step, loss)) = self.waiting.pop_front() else { break };
            let loss = loss.read()?;
            if !loss.is_finite() {
                return Err(EngineError::Diverged { epoch, step, loss });
            }
            course.loss_sum += loss;
            self.last = Some(loss);
        }
        Ok(())
    }
}
