//! Files that appear whole or not at all: a reader never sees half of one, whatever happens to the writer.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file through a temporary one in the same folder, which is flushed to disk and then renamed. What was there
/// before stays until then, and for good where writing fails.
///
/// # Errors
/// The system's answer to the first step that failed.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> Result<()>) -> Result<()> {
    let temporary = temporary_beside(path)?;
    let mut writer = BufWriter::new(temporary.as_file());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    persist(temporary, path)
}

/// A temporary file in the folder of `path`, to be renamed to it by [`persist`] once it is complete, and gone without.
///
/// # Errors
/// The system's answer, such as for a folder that does not exist.
pub fn temporary_beside(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-").suffix(".tmp");
    // Temporary files are private to their owner; results are not.
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.tempfile_in(folder)
}

/// Gives the complete `file` its name.
///
/// # Errors
/// The system's answer.
pub fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Error;

    use super::*;

    #[test]
    fn files_are_whole_or_what_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, |writer| writer.write_all(b"first")).unwrap();
        let failed = write_whole(&path, |writer| {
            writer.write_all(b"second")?;
            Err(Error::other("full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&folder.path().join("no/a.txt"), |_| Ok(())).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, |_| Ok(())).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        // Whatever the process forbids by its umask, the owner can write and nobody else.
        assert_eq!(mode & 0o622, 0o600);
    }
}
