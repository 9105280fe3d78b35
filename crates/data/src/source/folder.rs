//! Files below a folder.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_128;

use crate::decode::bytes::ImageBytes;
use crate::source::{ImageSource, Location};

/// Image files below a folder, each named by its path relative to it.
#[derive(Debug)]
pub struct FolderSource {
    root: PathBuf,
    names: FileNames,
}

impl FolderSource {
    /// Files that are known already; nothing is read. `paths` are relative to `root`, or absolute, and none
    /// occurs twice.
    pub fn new(root: PathBuf, paths: Vec<PathBuf>) -> Self {
        Self { root, names: FileNames::new(paths) }
    }
}

impl ImageSource for FolderSource {
    fn location(&self) -> Location {
        Location::Folder(self.root.clone())
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, index: usize) -> &str {
        self.names.text(index)
    }

    fn os_name(&self, index: usize) -> &OsStr {
        self.names.path(index).as_os_str()
    }

    fn read(&self, index: usize) -> io::Result<ImageBytes> {
        ImageBytes::open(self.file(index).ok_or(ErrorKind::NotFound)?)
    }

    fn version(&self, index: usize) -> Option<u128> {
        file_version(&self.file(index)?)
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        Some(self.root.join(self.names.paths.get(index)?))
    }

    fn is_there(&self) -> bool {
        self.root.is_dir()
    }
}

/// Hash of the path of a file, its length and its time of modification; `None` where these are unknown.
pub(crate) fn file_version(path: &Path) -> Option<u128> {
    let metadata = fs::metadata(path).ok()?;
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    let mut bytes = Vec::new();
    bytes.extend(metadata.len().to_le_bytes());
    bytes.extend(modified.to_le_bytes());
    bytes.extend(fs::canonicalize(path).ok()?.as_os_str().as_encoded_bytes());
    Some(xxh3_128(&bytes))
}

/// Names of files, which need not be Unicode, and their texts.
#[derive(Debug)]
pub(crate) struct FileNames {
    paths: Vec<PathBuf>,
    /// Texts of the paths that are not Unicode.
    replaced: HashMap<usize, String>,
}

impl FileNames {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let replaced = paths.iter().enumerate().filter(|(_, path)| path.to_str().is_none());
        let replaced = replaced.map(|(index, path)| (index, path.to_string_lossy().into_owned())).collect();
        Self { paths, replaced }
    }

    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(crate) fn path(&self, index: usize) -> &Path {
        &self.paths[index]
    }

    pub(crate) fn text(&self, index: usize) -> &str {
        let path = &self.paths[index];
        path.to_str().or_else(|| self.replaced.get(&index).map(String::as_str)).unwrap_or_default()
    }
}
