//! Settings of stochastic gradient descent on a task.

use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};

/// SGD of a task: the step size is multiplied by `decay_factor` every `decay_steps` steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSgd {
    /// Steps, at least 1.
    pub num_steps: usize,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// First step size, more than 0.
    pub learning_rate: f64,
    /// Steps after which the step size falls, at least 1.
    pub decay_steps: usize,
    /// Factor on the step size at each decay, in `(0, 1]`.
    pub decay_factor: f64,
    /// Momentum, in `[0, 1)`.
    pub momentum: f64,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
    /// Greatest norm of the gradients, all weights together; longer ones are clipped. `None` is no bound.
    pub max_gradient_norm: Option<f64>,
}

/// Most steps of a task.
pub(crate) const MAX_STEPS: usize = 10_000_000;

/// Most images of a step, as in training.
const MAX_BATCH_SIZE: usize = 1 << 20;

impl TaskSgd {
    /// Checks every field.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), TransferError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let norm = self.max_gradient_norm;
        check_settings([
            (
                "num_steps",
                self.num_steps.to_string(),
                (1..=MAX_STEPS).contains(&self.num_steps),
                "1 to 10000000",
            ),
            (
                "batch_size",
                self.batch_size.to_string(),
                (1..=MAX_BATCH_SIZE).contains(&self.batch_size),
                "1 to 1048576",
            ),
            ("learning_rate", self.learning_rate.to_string(), positive(self.learning_rate), "more than 0"),
            ("decay_steps", self.decay_steps.to_string(), self.decay_steps > 0, "at least 1"),
            (
                "decay_factor",
                self.decay_factor.to_string(),
                self.decay_factor > 0.0 && self.decay_factor <= 1.0,
                "more than 0, at most 1",
            ),
            ("momentum", self.momentum.to_string(), (0.0..1.0).contains(&self.momentum), "0 to below 1"),
            (
                "weight_decay",
                self.weight_decay.to_string(),
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
                "at least 0",
            ),
            ("max_gradient_norm", format!("{norm:?}"), norm.is_none_or(positive), "more than 0, or none"),
        ])
    }

    pub(super) fn learning_rate_at(&self, step: usize) -> f64 {
        let num_falls = i32::try_from(step / self.decay_steps).unwrap_or(i32::MAX);
        self.learning_rate * self.decay_factor.powi(num_falls)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::fine_tuning) fn sgd(num_steps: usize) -> TaskSgd {
        TaskSgd {
            num_steps,
            batch_size: 2,
            learning_rate: 0.5,
            decay_steps: 2,
            decay_factor: 0.5,
            momentum: 0.5,
            weight_decay: 0.0,
            max_gradient_norm: None,
        }
    }

    #[test]
    fn the_step_size_falls() {
        let rates: Vec<f64> = (0..5).map(|step| sgd(6).learning_rate_at(step)).collect();
        assert_eq!(rates, [0.5, 0.5, 0.25, 0.25, 0.125]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |config: TaskSgd| config.validate().unwrap_err().to_string();
        assert!(refused(sgd(0)).starts_with("num_steps = 0"));
        assert!(refused(sgd(usize::MAX)).contains("1 to 10000000"));
        let error = refused(TaskSgd { batch_size: usize::MAX, ..sgd(2) });
        assert!(error.contains("batch_size = 18446744073709551615 is not allowed: 1 to 1048576"), "{error}");
        assert!(refused(TaskSgd { decay_factor: 1.5, ..sgd(1) }).starts_with("decay_factor = 1.5"));
        assert!(refused(TaskSgd { max_gradient_norm: Some(0.0), ..sgd(1) }).contains("max_gradient_norm"));
        sgd(1).validate().unwrap();
    }
}
