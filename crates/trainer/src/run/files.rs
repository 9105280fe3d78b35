//! Files of a run.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use deepcluster_files::write_whole;

use crate::error::TrainerError;

/// As [`write_whole`], with the error of a run.
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<(), TrainerError> {
    write_whole(path, write).map_err(TrainerError::io("write", path))
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
