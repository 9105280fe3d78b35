//! Temporary files, and those that killed processes have left.
//!
//! A process holds a lock on each of its temporary files and folders, which ends with the process however it
//! ends. So one without a lock is abandoned, and its name shows that it was ours.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{NamedTempFile, TempDir};

pub(crate) const PREFIX: &str = ".writing-deepcluster-";
const SUFFIX: &str = ".tmp";

/// Removes the temporary files and folders in `folder` that killed processes have left. Those of processes
/// that are still at work, and everything with another name, stay; so does what cannot be removed.
///
/// # Errors
/// The system's answer where the folder cannot be read.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if !(name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        // A link or a pipe is none of ours, and opening one could wait forever.
        if !kind.is_file() && !kind.is_dir() {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        // Another process may have removed it at the same time.
        let _ = if kind.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
    }
    Ok(())
}

/// As [`remove_leftovers`] before the first file that this process writes to a folder; a folder that cannot
/// be read is no concern of the writer's.
pub(crate) fn remove_leftovers_once(folder: &Path) {
    static SEEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let Ok(folder) = fs::canonicalize(folder) else { return };
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.get_or_insert_default().insert(folder.clone()) {
        let _ = remove_leftovers(&folder);
    }
}

/// A locked temporary file in `folder`, with the permissions that the umask allows.
pub(crate) fn new_temporary(folder: &Path) -> Result<NamedTempFile> {
    loop {
        let file = builder(0o666).tempfile_in(folder)?;
        lock(file.as_file());
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// A temporary folder in `folder` and the lock on it.
pub(crate) fn new_temporary_folder(folder: &Path) -> Result<(TempDir, Option<File>)> {
    loop {
        let temporary = builder(0o777).tempdir_in(folder)?;
        // Not every system opens folders.
        let handle = File::open(temporary.path()).ok();
        handle.iter().for_each(lock);
        if temporary.path().exists() {
            return Ok((temporary, handle));
        }
    }
}

/// Waits where another process has just taken the new file for a leftover and is about to remove it. Some
/// network file systems have no locks, and nothing is ever removed there.
fn lock(file: &File) {
    let _ = file.lock();
}

/// Of files and folders with a mode, of which the umask leaves a part.
fn builder(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    let _ = mode;
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::TemporaryFolder;
    use crate::output_file::write_whole;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_dead_processes_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        // As a killed process leaves them: kept, and no longer locked.
        new_temporary(root).unwrap().keep().unwrap();
        let (dead, handle) = new_temporary_folder(root).unwrap();
        drop(handle);
        fs::write(dead.keep().join("part"), "x").unwrap();
        for other in [".writing-mine.tmp", ".writing-deepcluster-notes.txt", "a.tmp"] {
            fs::write(root.join(other), "mine").unwrap();
        }
        assert_eq!(names(root).len(), 5);
        let at_work = new_temporary(root).unwrap();
        let folder_at_work = TemporaryFolder::beside(&root.join("results")).unwrap();

        remove_leftovers(root).unwrap();
        assert!(at_work.path().exists() && folder_at_work.path().exists());
        drop((at_work, folder_at_work));
        assert_eq!(names(root), [".writing-deepcluster-notes.txt", ".writing-mine.tmp", "a.tmp"]);
    }

    #[test]
    fn the_first_write_to_a_folder_removes_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        new_temporary(folder.path()).unwrap().keep().unwrap();
        write_whole(&folder.path().join("a.txt"), |_| Ok(())).unwrap();
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn writers_and_removers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let remover = scope.spawn(|| (0..300).for_each(|_| remove_leftovers(folder.path()).unwrap()));
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let path = folder.path().join(format!("{writer}.txt"));
                    scope.spawn(move || {
                        (0..60).for_each(|round| {
                            let text = round.to_string();
                            write_whole(&path, |file| std::io::Write::write_all(file, text.as_bytes()))
                                .unwrap();
                            assert_eq!(fs::read_to_string(&path).unwrap(), text);
                        });
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            remover.join().unwrap();
        });
        assert_eq!(names(folder.path()), ["0.txt", "1.txt", "2.txt"]);
    }
}
