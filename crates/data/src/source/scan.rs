//! The walk through a folder that finds its images.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use deepcluster_files::is_output_folder;
use walkdir::{DirEntry, WalkDir};

use crate::decode::formats::READABLE_FORMATS;
use crate::error::DataError;
use crate::source::file_kind::{FileKind, has_image_content, has_image_content_but_tiff};
use crate::source::images::{Images, SkippedFile};
use crate::source::label_file::labels_of_file;
use crate::source::labels::{LabelSource, automatic_labels, labels_of_folders};
use crate::source::scan_summary::ScanSummary;

/// Settings of a scan of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanConfig {
    /// Where the labels of the images come from.
    pub labels: LabelSource,
}

/// Folders of systems and of the devices that serve files, in lower case; their pictures are copies of
/// others, or thrown away.
const SYSTEM_FOLDERS: [&str; 14] = [
    "@eadir",
    "@tmp",
    "@__thumb",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "__macosx",
    "lost+found",
    "found.000",
    "network trash folder",
    "temporary items",
];

/// System files that are not reported, in lower case.
const SYSTEM_FILES: [&str; 4] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"];

/// Files and folders found so far.
#[derive(Default)]
struct Findings {
    /// Relative to the root.
    images: Vec<PathBuf>,
    skipped: Vec<SkippedFile>,
    summary: ScanSummary,
    num_files_seen: usize,
}

pub(crate) fn scan_folder(root: &Path, config: &ScanConfig) -> Result<Images, DataError> {
    check_root(root)?;
    let mut findings = Findings::default();
    let mut entries = WalkDir::new(root).follow_links(true).into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) if entry.depth() == 0 => {}
            Ok(entry) if entry.file_type().is_dir() => {
                if findings.leaves_out(root, &entry) {
                    entries.skip_current_dir();
                }
            }
            Ok(entry) => findings.add(root, &entry),
            Err(error) if error.depth() == 0 => return Err(DataError::io("read", root, into_io(error))),
            Err(error) => findings.skip(root, error),
        }
    }
    let Findings { mut images, mut skipped, mut summary, num_files_seen } = findings;
    // Paths compare by component and components by byte, on every system.
    images.sort_unstable();
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    if images.is_empty() {
        let (num_skipped, rest) = (skipped.len(), summary.rest());
        return Err(DataError::NoImages { root: root.into(), num_files_seen, num_skipped, rest });
    }
    summary.set_images(images.len());
    let labels = match &config.labels {
        LabelSource::Auto => automatic_labels(&images),
        LabelSource::None => None,
        LabelSource::Folders => Some(labels_of_folders(root, &images)?),
        LabelSource::Csv(path) => labels_of_file(path, root, &images)?,
    };
    Ok(Images::from_paths(root.into(), images, labels).with_findings(skipped, summary))
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
    /// Whether the folder is not to be entered.
    fn leaves_out(&mut self, root: &Path, entry: &DirEntry) -> bool {
        let name = entry.file_name().to_string_lossy();
        if is_hidden(entry.path()) {
            return true;
        }
        if SYSTEM_FOLDERS.contains(&name.to_lowercase().as_str()) {
            self.summary.leave_out_system_folder(&name);
            return true;
        }
        let is_output = is_output_folder(entry.path()) || is_run_folder(entry.path());
        if is_output {
            self.summary.leave_out_output(&below(root, entry.path()));
        }
        is_output
    }

    fn add(&mut self, root: &Path, entry: &DirEntry) {
        let name = entry.file_name().to_string_lossy();
        if is_hidden(entry.path()) || SYSTEM_FILES.contains(&name.to_lowercase().as_str()) {
            return;
        }
        self.num_files_seen += 1;
        let path = below(root, entry.path());
        let is_file = entry.file_type().is_file();
        match FileKind::by_name(&path) {
            FileKind::Image if is_file => self.images.push(path),
            FileKind::Image => {
                self.skipped.push(SkippedFile { path, reason: "it is not a regular file".into() });
            }
            FileKind::NoExtension | FileKind::Other { is_blank: true, .. }
                if is_file && has_image_content(entry.path()) =>
            {
                self.images.push(path);
            }
            // Programs that send or convert photographs often keep a wrong extension.
            FileKind::UnreadableFormat(_) if is_file && has_image_content_but_tiff(entry.path()) => {
                self.images.push(path);
            }
            FileKind::UnreadableFormat(extension) => {
                self.summary.count_unreadable(extension);
                let reason = format!("its format is not read, only {READABLE_FORMATS}");
                self.skipped.push(SkippedFile { path, reason });
            }
            FileKind::Other { extension, .. } => self.summary.count_other(Some(extension)),
            FileKind::NoExtension => self.summary.count_other(None),
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

/// Error message of the operating system without the path, which the caller names.
fn into_io(error: walkdir::Error) -> io::Error {
    let text = error.to_string();
    error.into_io_error().unwrap_or_else(|| io::Error::other(text))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).into()
}

/// Whether a folder holds a run: what was written there are results, not images to be clustered.
fn is_run_folder(path: &Path) -> bool {
    ["run.json", "config.toml"].iter().all(|name| path.join(name).is_file())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
