//! Changes of settings when a run is resumed.

use std::path::Path;

use crate::error::TrainerError;
use crate::settings::config::TrainConfig;

/// Settings a resumed run may change, because no result depends on them. The number of epochs may grow.
const CHANGEABLE: [&str; 8] = [
    "training.epochs",
    "training.checkpoint_steps",
    "training.tensorboard",
    "data.num_workers",
    "data.prefetch_batches",
    "data.cache_mib",
    "data.disk_cache",
    "data.disk_cache_mib",
];

/// Refuses settings that a run was not begun with, but for those that may change.
///
/// # Errors
/// [`TrainerError::ConfigChanged`] naming the first.
pub(crate) fn refuse_changes(
    run: &Path,
    saved: &TrainConfig,
    asked: &TrainConfig,
) -> Result<(), TrainerError> {
    match first_change(saved, asked) {
        None => Ok(()),
        Some((key, saved, asked)) => {
            Err(TrainerError::ConfigChanged { path: run.to_path_buf(), key, saved, asked })
        }
    }
}

/// The first setting that differs and may not change, with both of its values.
pub(crate) fn first_change(before: &TrainConfig, after: &TrainConfig) -> Option<(String, String, String)> {
    let (before, after) = (before.values(), after.values());
    let value_of = |values: &[(String, String)], key: &str| {
        values.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let or_unset = |value: Option<String>| value.unwrap_or("not set".to_string());
    let mut changeless = before.iter().chain(&after).filter(|(key, _)| !CHANGEABLE.contains(&key.as_str()));
    changeless.find_map(|(key, _)| {
        let (before, after) = (value_of(&before, key), value_of(&after, key));
        (before != after).then(|| (key.clone(), or_unset(before), or_unset(after)))
    })
}

/// Refuses to end a run before what it has done; `num_done` counts an epoch that has begun.
///
/// # Errors
/// [`TrainerError::InvalidConfig`].
pub(crate) fn refuse_fewer_epochs(num_asked: usize, num_done: usize) -> Result<(), TrainerError> {
    if num_asked >= num_done {
        return Ok(());
    }
    Err(TrainerError::InvalidConfig {
        field: "training.epochs".to_string(),
        value: num_asked.to_string(),
        allowed: format!("at least {num_done}, which have been trained or begun"),
    })
}
