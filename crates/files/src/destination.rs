//! The file that a path leads to, and whether it can be replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Links that lead to links, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// Where bytes for a path go.
#[derive(Debug)]
pub(crate) enum Destination {
    /// The path of a regular file behind all links, which need not exist yet: it is replaced by renaming.
    Regular(PathBuf),
    /// A device, a pipe, or a file that is open already: it stays what it is, and is written to.
    Stream(File),
}

impl Destination {
    /// Follows the links of `path` and opens what cannot be replaced. Opening a named pipe waits for its
    /// reader.
    ///
    /// # Errors
    /// The system's answer; a folder, or links that lead in a circle.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut path = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            if let Some(file) = open_descriptor(&path)? {
                return Ok(Self::Stream(file));
            }
            let kind = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Regular(path)),
                Err(error) => return Err(error),
            };
            if kind.is_dir() {
                return Err(Error::new(ErrorKind::IsADirectory, "it is a folder"));
            }
            if kind.is_file() {
                return Ok(Self::Regular(path));
            }
            if !kind.is_symlink() {
                return OpenOptions::new().write(true).open(&path).map(Self::Stream);
            }
            let target = fs::read_link(&path)?;
            path = folder_above(&path).join(target);
        }
        Err(Error::other("its links lead in a circle"))
    }
}

/// The folder that holds `path`.
pub(crate) fn folder_above(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file behind `/dev/stdout`, `/dev/fd/63` and the like, which the process or its shell has opened.
#[cfg(target_os = "linux")]
fn open_descriptor(path: &Path) -> Result<Option<File>> {
    use std::os::fd::AsFd;

    let Ok(folder) = fs::canonicalize(folder_above(path)) else { return Ok(None) };
    if !(folder.starts_with("/proc") && folder.ends_with("fd")) {
        return Ok(None);
    }
    // These two may be written to otherwise: a second description of a file would begin at its start again.
    let is_own = folder.starts_with(Path::new("/proc").join(std::process::id().to_string()));
    let descriptor = match path.file_name().and_then(|name| name.to_str()) {
        Some("1") if is_own => std::io::stdout().as_fd().try_clone_to_owned()?,
        Some("2") if is_own => std::io::stderr().as_fd().try_clone_to_owned()?,
        _ => return OpenOptions::new().append(true).open(path).map(Some),
    };
    Ok(Some(descriptor.into()))
}

/// Elsewhere these are devices.
#[cfg(not(target_os = "linux"))]
fn open_descriptor(_path: &Path) -> Result<Option<File>> {
    Ok(None)
}
