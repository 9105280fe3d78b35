//! The metrics of each epoch: the tables of the run, and the event file of TensorBoard.

use crate::error::TrainerError;
use crate::metrics::{EpochMetrics, EpochTimings};
use crate::run::directory::RunDirectory;
use crate::run::tensorboard::{EventFile, History};
use crate::settings::config::TrainConfig;

/// Writes the metrics of epochs.
#[derive(Debug)]
pub(crate) struct EpochLog {
    tensorboard: Tensorboard,
}

/// The event file, which opens with the first epoch that ends.
#[derive(Debug)]
enum Tensorboard {
    Unopened,
    Open(EventFile),
    Off,
}

impl EpochLog {
    pub(crate) fn new(config: &TrainConfig) -> Self {
        let is_on = config.training.tensorboard;
        Self { tensorboard: if is_on { Tensorboard::Unopened } else { Tensorboard::Off } }
    }

    /// Adds an epoch; returns a warning where the event file cannot be written.
    pub(crate) fn add(
        &mut self,
        run: &RunDirectory,
        config: &TrainConfig,
        metrics: &EpochMetrics,
        timings: &EpochTimings,
    ) -> Result<Option<String>, TrainerError> {
        run.append_epoch(metrics, timings)?;
        let Err(error) = self.add_to_tensorboard(run, config, metrics, timings) else { return Ok(None) };
        // Never abort a long run because a chart cannot be written.
        self.tensorboard = Tensorboard::Off;
        Ok(Some(format!("the event file of TensorBoard cannot be written, and ends here: {error}")))
    }

    fn add_to_tensorboard(
        &mut self,
        run: &RunDirectory,
        config: &TrainConfig,
        metrics: &EpochMetrics,
        timings: &EpochTimings,
    ) -> std::io::Result<()> {
        if let Tensorboard::Unopened = self.tensorboard {
            let history = history(run)?;
            let file = EventFile::open(&run.file("tensorboard"), metrics.epoch, config, &history)?;
            self.tensorboard = Tensorboard::Open(file);
        }
        match &mut self.tensorboard {
            Tensorboard::Open(file) => file.log_epoch(metrics, timings, config.objective.learning_rate()),
            Tensorboard::Unopened | Tensorboard::Off => Ok(()),
        }
    }

    /// Gives the event file the epochs that it lacks, after a power cut or if the file is
    /// missing.
    pub(crate) fn complete(&self, run: &RunDirectory, config: &TrainConfig) {
        let Tensorboard::Unopened = self.tensorboard else { return };
        let completed = history(run).and_then(|history| {
            let Some(last) = history.metrics.last() else { return Ok(()) };
            EventFile::open(&run.file("tensorboard"), last.epoch + 1, config, &history).map(|_| ())
        });
        if let Err(error) = completed {
            log::warn!("the event file of TensorBoard cannot be completed: {error}");
        }
    }
}

/// The epochs of the run so far.
fn history(run: &RunDirectory) -> std::io::Result<History> {
    let metrics = run.metrics().map_err(std::io::Error::other)?;
    // Durations are the least important part of the file.
    Ok(History { metrics, timings: run.timings().unwrap_or_default() })
}
