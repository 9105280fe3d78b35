//! The mark of folders that hold results.

use std::fs;
use std::io::Result;
use std::path::Path;

/// A folder, since results are counted in files.
pub(crate) const MARK: &str = ".deepcluster-output";

/// Marks `folder` as results, so that images in it are not taken for those of the user.
///
/// # Errors
/// The system's answer.
pub fn mark_output_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join(MARK))
}

/// Whether [`mark_output_folder`] has marked `folder`.
pub fn is_output_folder(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(MARK)).is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_output_folder(folder.path()));
        mark_output_folder(folder.path()).unwrap();
        mark_output_folder(folder.path()).unwrap();
        assert!(is_output_folder(folder.path()));
        assert!(!is_output_folder(&folder.path().join("missing")));
    }
}
