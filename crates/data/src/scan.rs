//! The walk through a folder that finds its images.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::DataError;
use crate::header::{FileKind, READABLE_FORMATS};
use crate::image_folder::{ImageFolder, SkippedFile};
use crate::label_file::labels_of_file;
use crate::labels::{LabelSource, automatic_labels, labels_of_folders};

/// What to look for in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanConfig {
    /// Where the labels of the images come from.
    pub labels: LabelSource,
}

/// What the walk has met so far.
#[derive(Default)]
struct Findings {
    /// Relative to the root.
    images: Vec<PathBuf>,
    skipped: Vec<SkippedFile>,
    num_files_seen: usize,
}

/// See [`ImageFolder::scan`].
pub(crate) fn scan(root: &Path, config: &ScanConfig) -> Result<ImageFolder, DataError> {
    check_root(root)?;
    let mut findings = Findings::default();
    let entries = WalkDir::new(root).follow_links(true).into_iter();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path())) {
        match entry {
            Ok(entry) => findings.add(root, &entry),
            Err(error) if error.depth() == 0 => return Err(DataError::io("read", root, into_io(error))),
            Err(error) => findings.skip(root, error),
        }
    }
    let Findings { mut images, mut skipped, num_files_seen } = findings;
    // Paths compare by component and components by byte, on every system.
    images.sort_unstable();
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    if images.is_empty() {
        return Err(DataError::NoImages { root: root.into(), num_files_seen, num_skipped: skipped.len() });
    }
    let labels = match &config.labels {
        LabelSource::Auto => automatic_labels(&images),
        LabelSource::None => None,
        LabelSource::Folders => Some(labels_of_folders(root, &images)?),
        LabelSource::Csv(path) => labels_of_file(path, root, &images)?,
    };
    Ok(ImageFolder::from_paths(root.into(), images, labels).with_skipped(skipped))
}

fn check_root(root: &Path) -> Result<(), DataError> {
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(DataError::NotAFolder { path: root.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(DataError::FolderNotFound { path: root.into() })
        }
        Err(error) => Err(DataError::io("open", root, error)),
    }
}

impl Findings {
    fn add(&mut self, root: &Path, entry: &DirEntry) {
        if entry.file_type().is_dir() {
            return;
        }
        self.num_files_seen += 1;
        let path = below(root, entry.path());
        match FileKind::of(&path) {
            FileKind::Candidate if entry.file_type().is_file() => self.images.push(path),
            FileKind::Candidate => {
                self.skipped.push(SkippedFile { path, reason: "it is not a regular file".into() });
            }
            FileKind::UnreadableFormat => {
                let reason = format!("its format is not read, only {READABLE_FORMATS}");
                self.skipped.push(SkippedFile { path, reason });
            }
            FileKind::Other => {}
        }
    }

    fn skip(&mut self, root: &Path, error: walkdir::Error) {
        let path = below(root, error.path().unwrap_or(root));
        if is_hidden(&path) {
            return;
        }
        let reason = match error.loop_ancestor() {
            Some(ancestor) => format!("it is a link back to {}, which contains it", ancestor.display()),
            None => format!("cannot read it: {}", into_io(error)),
        };
        self.skipped.push(SkippedFile { path, reason });
    }
}

/// The operating system's words without the path, which the caller names.
fn into_io(error: walkdir::Error) -> io::Error {
    let text = error.to_string();
    error.into_io_error().unwrap_or_else(|| io::Error::other(text))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).into()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
