//! Writing files so that a reader never sees half of one.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::TrainerError;

/// Writes a file through a temporary one in the same folder, which is flushed to disk and then renamed.
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<(), TrainerError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let attempt = || -> std::io::Result<()> {
        let temporary = tempfile::Builder::new().prefix(".writing-").suffix(".tmp").tempfile_in(folder)?;
        let mut writer = BufWriter::new(temporary.as_file());
        write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        temporary.as_file().sync_all()?;
        make_readable(temporary.as_file())?;
        temporary.persist(path)?;
        Ok(())
    };
    attempt().map_err(TrainerError::io("write", path))
}

/// Temporary files are private to their owner; results are not.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> std::io::Result<()> {
    Ok(())
}

/// Bytes of a path for CSV files, which need not be UTF-8.
#[cfg(unix)]
pub(crate) fn path_bytes(path: &Path) -> std::borrow::Cow<'_, [u8]> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().into()
}

/// Bytes of a path for CSV files; names that are not Unicode lose the parts that are not.
#[cfg(not(unix))]
pub(crate) fn path_bytes(path: &Path) -> std::borrow::Cow<'_, [u8]> {
    path.to_string_lossy().into_owned().into_bytes().into()
}

/// The path of bytes written by [`path_bytes`].
#[cfg(unix)]
pub(crate) fn path_from_bytes(bytes: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

/// The path of bytes written by [`path_bytes`].
#[cfg(not(unix))]
pub(crate) fn path_from_bytes(bytes: &[u8]) -> std::path::PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
