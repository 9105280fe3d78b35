//! Folders of runs whose process was killed before they began.

use std::fs::{self, DirEntry};
use std::path::Path;

use crate::error::TrainerError;
use crate::run::checkpoint::place_of;
use crate::run::layout::{CHECKPOINTS, CONFIG_FILE, LOCK, RUN_FILE};

/// Whether `folder` is empty, or holds only what [`RunDirectory::create`](crate::RunDirectory::create) writes
/// before `run.json`. The empty lock is the first of these: beside it the others are ours.
pub(crate) fn is_unbegun(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<DirEntry>, _>>) else {
        return false;
    };
    let has_lock = entries.iter().any(|entry| entry.file_name() == LOCK && is_empty_file(entry));
    entries.is_empty() || (has_lock && entries.iter().all(is_of_the_beginning))
}

/// Removes what is in the way of a new beginning in a folder that [`is_unbegun`], but for the lock, which is
/// held.
pub(crate) fn clear_unbegun(folder: &Path) -> Result<(), TrainerError> {
    for entry in fs::read_dir(folder).map_err(TrainerError::io("read", folder))? {
        let entry = entry.map_err(TrainerError::io("read", folder))?;
        if entry.file_name() == LOCK || !is_of_the_beginning(&entry) {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(TrainerError::io("remove", &path))?;
    }
    Ok(())
}

fn is_of_the_beginning(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let is = |name: &str| entry.file_name() == name;
    let Ok(kind) = entry.file_type() else { return false };
    if is(LOCK) || is(RUN_FILE) {
        return is_empty_file(entry);
    }
    if is(CONFIG_FILE) {
        return kind.is_file();
    }
    // Of an import, which begins with a checkpoint.
    if is(CHECKPOINTS) && kind.is_dir() {
        let entries = fs::read_dir(entry.path());
        let is_ours = |entry: DirEntry| {
            let name = entry.file_name();
            place_of(&name).is_some() || is_leftover(&name.to_string_lossy())
        };
        return entries.is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(is_ours)));
    }
    kind.is_file() && is_leftover(&name.to_string_lossy())
}

fn is_empty_file(entry: &DirEntry) -> bool {
    entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// Names of temporary files and folders of this program and of earlier ones, which lacked some of it.
fn is_leftover(name: &str) -> bool {
    let Some(name) = name.strip_prefix(".writing-") else { return false };
    let name = name.strip_prefix("deepcluster-").unwrap_or(name);
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunDirectory, TrainConfig, TrainerError};

    /// Files by their names, those that end in `/` folders.
    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
            if !name.ends_with('/') {
                fs::write(&path, if name.ends_with(".toml") { "seed = 1" } else { "" }).unwrap();
            }
        }
        folder
    }

    fn create(folder: &Path) -> Result<RunDirectory, TrainerError> {
        let images = tempfile::tempdir().unwrap();
        RunDirectory::create(folder, &images.path().into(), &TrainConfig::default())
    }

    #[test]
    fn what_is_left_of_a_beginning_is_begun_again() {
        for names in [
            &[][..],
            &["lock"],
            &["lock", ".writing-deepcluster-a1B2c3.tmp"],
            &["lock", "config.toml", ".writing-a1B2c3.tmp"],
            &["lock", "config.toml", "run.json"],
            &["lock", "config.toml", "checkpoints/.writing-deepcluster-a1B2c3.tmp/network.safetensors"],
            &["lock", "config.toml", "checkpoints/epoch-00007-step-0000000/manifest.json"],
        ] {
            let folder = folder_of(names);
            if !names.is_empty() {
                let error = RunDirectory::open_to_train(folder.path()).unwrap_err();
                assert!(matches!(error, TrainerError::NotBegun { .. }), "{names:?}: {error}");
            }
            drop(create(folder.path()).unwrap_or_else(|error| panic!("{names:?}: {error}")));
            assert!(RunDirectory::open_to_train(folder.path()).is_ok(), "{names:?}");
            let mut left: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["config.toml", "lock", "run.json"], "{names:?}");
            assert!(matches!(create(folder.path()), Err(TrainerError::RunExists { .. })));
        }
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
        for names in [
            &["thesis.tex"][..],
            &["config.toml"],
            &["lock", "config.toml", "thesis.tex"],
            &["lock", "images.csv"],
            &["lock", "checkpoints/best.pth"],
            &["lock", "checkpoints/epoch-00001-step-0000000-mine/a"],
            &["lock", ".writing-desk"],
            &["lock", ".writing-a1B2c3.tmp/a"],
            &["lock", "config.toml", "run.json", "images.csv"],
        ] {
            let folder = folder_of(names);
            let count = || walk(folder.path());
            let before = count();
            let refused = create(folder.path()).unwrap_err();
            let is_refused =
                matches!(refused, TrainerError::NotEmpty { .. } | TrainerError::RunExists { .. });
            assert!(is_refused, "{names:?}");
            assert_eq!(count(), before, "{names:?}");
        }
        // A lock file with content belongs to another program.
        let folder = folder_of(&["config.toml"]);
        fs::write(folder.path().join("lock"), "1234").unwrap();
        assert!(matches!(create(folder.path()), Err(TrainerError::NotEmpty { .. })));
        assert_eq!(fs::read(folder.path().join("lock")).unwrap(), b"1234");
    }

    fn walk(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { 1 + walk(&path) } else { 1 }).sum()
    }
}
