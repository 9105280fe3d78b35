//! The training loop of a task, and its state.

use std::path::Path;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use deepcluster_engine::{Event, Observer, Phase, Sgd};
use deepcluster_models::{export_weights, import_weights};
use serde::{Deserialize, Serialize};

use super::clip::clip_gradients;
use super::sgd::TaskSgd;
use crate::error::TransferError;
use crate::state_file::{TaskState, check_velocities};
use crate::task_identity::TaskIdentity;

/// Steps between two states.
const STATE_STEPS: usize = 500;
/// Steps averaged into one point of the loss curve.
const CURVE_STEPS: usize = 50;
/// Prefixes of the arrays of a state.
const WEIGHT: &str = "weight.";
const VELOCITY: &str = "velocity.";

/// A point of the loss curve: the mean of up to 50 steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Steps done by then.
    pub step: usize,
    /// Mean loss since the point before.
    pub loss: f64,
}

/// A state file, and the identity of the task that it must belong to.
pub(crate) struct TaskRecord<'a> {
    /// File of the state, if one is kept.
    pub(crate) state: Option<&'a Path>,
    /// All settings but the number of steps, which may grow; the first weights; the names of the data.
    pub(crate) identity: TaskIdentity,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TaskProgress {
    identity: TaskIdentity,
    num_steps: usize,
    losses: Vec<LossPoint>,
    /// Sum and number of the losses since the last point.
    open: (f64, usize),
}

impl TaskProgress {
    fn add(&mut self, loss: f64) {
        self.open = (self.open.0 + loss, self.open.1 + 1);
    }

    fn close_point(&mut self) {
        let (sum, num_losses) = std::mem::take(&mut self.open);
        if num_losses > 0 {
            self.losses.push(LossPoint { step: self.num_steps, loss: sum / num_losses as f64 });
        }
    }
}

/// Trains `module` for the steps of `config`; `step_loss` returns the loss of a step, or `None` where the
/// step has no data. With a `state` file in its record a stopped task is resumed, and ends with the same
/// weights as if it had not been stopped.
///
/// `step_loss` is called for one step after the other, beginning with the first that is not done; its random
/// numbers must depend on the step alone.
pub(crate) fn fine_tune<M: Module>(
    module: M,
    config: &TaskSgd,
    record: &TaskRecord<'_>,
    observer: &mut dyn Observer,
    mut step_loss: impl FnMut(&M, usize) -> Result<Option<Tensor<1>>, TransferError>,
) -> Result<(M, Vec<LossPoint>), TransferError> {
    let mut task = Task::begin_or_resume(module, config, record)?;
    let total = config.num_steps;
    observer.event(&Event::Started { phase: Phase::steps("fine-tuning"), epoch: None, total });
    let first = task.progress.num_steps;
    for step in first..total {
        if observer.should_stop() {
            task.save(record.state)?;
            return Err(TransferError::Stopped);
        }
        let loss = step_loss(&task.module, step)?.map(|loss| task.step(loss, step, config)).transpose()?;
        task.progress.num_steps = step + 1;
        if (step + 1).is_multiple_of(CURVE_STEPS) {
            task.progress.close_point();
        }
        observer.event(&Event::Progress { done: step + 1, loss });
        if (step + 1).is_multiple_of(STATE_STEPS) && step + 1 < total {
            task.save(record.state)?;
        }
    }
    if first < total {
        task.save(record.state)?;
    }
    // After the state, in which a point that more steps may add to stays open.
    task.progress.close_point();
    Ok((task.module, task.progress.losses))
}

/// A module in training.
struct Task<M> {
    module: M,
    sgd: Sgd,
    progress: TaskProgress,
}

impl<M: Module> Task<M> {
    fn begin_or_resume(module: M, config: &TaskSgd, record: &TaskRecord<'_>) -> Result<Self, TransferError> {
        let sgd = Sgd::new(config.learning_rate, config.momentum, config.weight_decay);
        let identity = record.identity.clone();
        let progress = TaskProgress { identity, num_steps: 0, losses: Vec::new(), open: (0.0, 0) };
        let mut task = Self { module, sgd, progress };
        if let Some(path) = record.state
            && let Some(mut saved) = TaskState::<TaskProgress>::load(path)?
        {
            record.identity.check(&saved.progress.identity, path)?;
            let (weights, velocities) = (saved.take(WEIGHT), saved.take(VELOCITY));
            check_velocities(&velocities, &weights)
                .map_err(|reason| TransferError::Damaged { path: path.to_path_buf(), reason })?;
            task.module = import_weights(task.module, weights)?;
            let device = task.module.devices().first().cloned().unwrap_or_default();
            task.sgd.import(velocities, &device.without_autodiff());
            task.progress = saved.progress;
        }
        Ok(task)
    }

    /// One step down the gradient of `loss`; returns its value.
    fn step(&mut self, loss: Tensor<1>, step: usize, config: &TaskSgd) -> Result<f64, TransferError> {
        let value = loss.clone().try_into_scalar::<f32>();
        let value = value.map_err(|error| TransferError::device("while learning a task", error))?;
        self.sgd.learning_rate = config.learning_rate_at(step);
        if !value.is_finite() {
            return Err(TransferError::Diverged { step, learning_rate: self.sgd.learning_rate });
        }
        let mut gradients = GradientsParams::from_grads(loss.backward(), &self.module);
        if let Some(norm) = config.max_gradient_norm {
            gradients = clip_gradients(&self.module, gradients, norm)?;
        }
        self.sgd.step_in_place(&mut self.module, gradients);
        self.progress.add(f64::from(value));
        Ok(f64::from(value))
    }

    fn save(&self, path: Option<&Path>) -> Result<(), TransferError> {
        let Some(path) = path else { return Ok(()) };
        let mut state = TaskState::new(self.progress.clone());
        state.insert(WEIGHT, export_weights(&self.module)?);
        state.insert(VELOCITY, self.sgd.export()?);
        state.save(path)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use deepcluster_models::Head;

    use super::*;
    use crate::fine_tuning::sgd::tests::sgd;
    use crate::task_identity::TaskSettings;

    fn learn(config: &TaskSgd, state: Option<&Path>) -> Result<f32, TransferError> {
        let device = Device::flex().autodiff();
        let head = Head::new(1, 1, 3, &device);
        let identity = TaskIdentity::new(TaskSettings::new(config, &["num_steps"]), 5);
        let input = Tensor::<2>::ones([1, 1], &device);
        let (head, losses) = fine_tune(head, config, &TaskRecord { state, identity }, &mut (), {
            |head: &Head, step| {
                Ok((step != 1).then(|| (head.forward(input.clone()) - 3.0).powi_scalar(2).sum()))
            }
        })?;
        assert_eq!(losses.last().unwrap().step, config.num_steps);
        Ok(head.forward(input).into_scalar())
    }

    #[test]
    fn a_stopped_task_ends_as_if_it_had_not_been() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.safetensors");
        learn(&sgd(3), Some(&state)).unwrap();
        let resumed = learn(&sgd(9), Some(&state)).unwrap();
        assert_eq!(resumed, learn(&sgd(9), None).unwrap());
        assert!((resumed - 3.0).abs() < 2.9, "{resumed}");
        assert_eq!(resumed, learn(&sgd(9), Some(&state)).unwrap());
    }

    #[test]
    fn a_state_of_other_settings_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.safetensors");
        learn(&sgd(3), Some(&state)).unwrap();
        let refused = |config: TaskSgd| learn(&config, Some(&state)).unwrap_err().to_string();
        let error = refused(TaskSgd { learning_rate: 0.25, ..sgd(9) });
        assert!(error.contains("learning_rate is 0.5, not 0.25"), "{error}");
        let error = refused(TaskSgd { max_gradient_norm: Some(1.0), ..sgd(9) });
        assert!(error.contains("max_gradient_norm is null, not 1.0"), "{error}");
    }

    #[test]
    fn long_gradients_are_clipped_to_their_bound() {
        // Weight and bias both have the gradient 2 (0 - 3) = -6 in the first step; their norm is 8.5. Clipped
        // to 1, each moves by 0.5 / sqrt(2), and the output by twice that.
        let moved = learn(&TaskSgd { max_gradient_norm: Some(1.0), ..sgd(1) }, None).unwrap() - {
            let device = Device::flex().autodiff();
            Head::new(1, 1, 3, &device).forward(Tensor::ones([1, 1], &device)).into_scalar::<f32>()
        };
        assert!((f64::from(moved) - 0.5 * std::f64::consts::SQRT_2).abs() < 1e-3, "{moved}");
    }
}
