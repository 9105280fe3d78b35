//! What a resumed run may change.

use crate::config::TrainConfig;
use crate::error::TrainerError;
use crate::run_directory::RunDirectory;

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
    run: &RunDirectory,
    saved: &TrainConfig,
    asked: &TrainConfig,
) -> Result<(), TrainerError> {
    let (saved, asked) = (saved.values(), asked.values());
    let value_of = |values: &[(String, String)], key: &str| {
        values.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    for (key, _) in saved.iter().chain(&asked) {
        let (before, after) = (value_of(&saved, key), value_of(&asked, key));
        if before != after && !CHANGEABLE.contains(&key.as_str()) {
            return Err(TrainerError::ConfigChanged {
                path: run.path().to_path_buf(),
                key: key.clone(),
                saved: before.unwrap_or("not set".to_string()),
                asked: after.unwrap_or("not set".to_string()),
            });
        }
    }
    Ok(())
}
