//! Changes of settings when a run is resumed.

use std::path::Path;

use crate::error::TrainerError;
use crate::settings::config::TrainConfig;
use crate::settings::file::Row;

/// Refuses settings that a run was not begun with, but for those that may change.
///
/// # Errors
/// [`TrainerError::ConfigChanged`] naming the first.
pub(crate) fn refuse_changes(
    run: &Path,
    saved: &TrainConfig,
    asked: &TrainConfig,
) -> Result<(), TrainerError> {
    refuse(run, first_change(saved, asked))
}

/// As [`refuse_changes`], for a run in which nothing has been done: only its network is there.
pub(crate) fn refuse_other_network(
    run: &Path,
    saved: &TrainConfig,
    asked: &TrainConfig,
) -> Result<(), TrainerError> {
    let mut expected = asked.clone();
    expected.network = saved.network.clone();
    // These change how a network is used, and none of its weights.
    expected.network.dropout = asked.network.dropout;
    expected.network.precision = asked.network.precision;
    expected.images.size = saved.images.size;
    refuse(run, first_change(&expected, asked))
}

fn refuse(run: &Path, change: Option<(String, String, String)>) -> Result<(), TrainerError> {
    let Some((key, saved, asked)) = change else { return Ok(()) };
    Err(TrainerError::ConfigChanged { path: run.to_path_buf(), key, saved, asked })
}

/// The first setting that differs and may not change, with both of its values.
pub(crate) fn first_change(before: &TrainConfig, after: &TrainConfig) -> Option<(String, String, String)> {
    let (before, after) = (before.rows(), after.rows());
    let text = |rows: &[Row], key: &str| {
        rows.iter().find(|row| row.key == key).map_or("not set".to_string(), Row::text)
    };
    let mut fixed = before.iter().chain(&after).filter(|row| !row.changeable);
    fixed.find_map(|row| {
        let (before, after) = (text(&before, &row.key), text(&after, &row.key));
        (before != after).then(|| (row.key.clone(), before, after))
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
