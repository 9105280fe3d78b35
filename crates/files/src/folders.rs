//! Folders that appear whole, and names that survive a power cut.

use std::fs::{self, File};
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::destination::folder_above;
use crate::leftovers::{new_temporary_folder, remove_leftovers_once};

/// Creates a folder and those above it that are missing, and has their names on disk before it returns.
///
/// # Errors
/// The system's answer.
pub fn create_folder(path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !is_there(folder)).collect();
    fs::create_dir_all(path)?;
    missing.into_iter().rev().try_for_each(|folder| sync_folder(folder_above(folder)))
}

/// Has the names in a folder on disk before it returns, so that a file renamed in it keeps its new name after
/// a power cut. Systems and folders that cannot be synchronised are left as they are.
///
/// # Errors
/// The system's answer where writing fails.
pub fn sync_folder(path: &Path) -> Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// A folder that is filled under a temporary name and gets its own at the end. Dropped before, it leaves
/// nothing.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let results = folder.path().join("by-cluster");
/// let temporary = deepcluster_files::TemporaryFolder::beside(&results)?;
/// std::fs::write(temporary.path().join("a.txt"), "a")?;
/// assert!(!results.exists());
/// temporary.persist(&results)?;
/// assert_eq!(std::fs::read(results.join("a.txt"))?, b"a");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    /// Tells other processes that this one is at work.
    _lock: Option<File>,
}

impl TemporaryFolder {
    /// Makes a temporary folder beside `path`, with the permissions that the umask allows; the folder above
    /// is made where it is missing.
    ///
    /// # Errors
    /// The system's answer.
    pub fn beside(path: &Path) -> Result<Self> {
        let parent = folder_above(path);
        create_folder(parent)?;
        remove_leftovers_once(parent);
        let (folder, lock) = new_temporary_folder(parent)?;
        Ok(Self { folder, _lock: lock })
    }

    /// The folder under its temporary name.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Renames the folder to `path`, which must be on the same disk and not there, or an empty folder.
    ///
    /// # Errors
    /// The system's answer; then the folder is removed.
    pub fn persist(self, path: &Path) -> Result<()> {
        sync_folder(self.path())?;
        fs::rename(self.path(), path)?;
        // The folder has its name now; there is nothing left to remove.
        let _: PathBuf = self.folder.keep();
        sync_folder(folder_above(path))
    }
}

fn is_there(folder: &Path) -> bool {
    folder.as_os_str().is_empty() || folder.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_at_any_depth_and_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        create_folder(&path).unwrap();
        create_folder(&path).unwrap();
        assert!(path.is_dir());
        fs::write(path.join("file"), "").unwrap();
        assert!(create_folder(&path.join("file/d")).is_err());
    }

    #[test]
    fn folders_appear_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/results");
        drop(TemporaryFolder::beside(&path).unwrap());
        assert_eq!(fs::read_dir(root.path().join("a")).unwrap().count(), 0);
        // A folder that is there already is not replaced, and the one that would have replaced it is gone.
        fs::create_dir(&path).unwrap();
        fs::write(path.join("mine"), "").unwrap();
        let temporary = TemporaryFolder::beside(&path).unwrap();
        assert!(temporary.persist(&path).is_err());
        assert!(path.join("mine").exists());
        assert_eq!(fs::read_dir(root.path().join("a")).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn folders_have_the_permissions_that_the_umask_allows() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("plain")).unwrap();
        let results = root.path().join("results");
        TemporaryFolder::beside(&results).unwrap().persist(&results).unwrap();
        let mode = |name: &str| fs::metadata(root.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("results"), mode("plain"));
    }
}
