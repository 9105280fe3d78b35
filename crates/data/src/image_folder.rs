//! The images of a folder, in a fixed order.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::labels::Labels;
use crate::scan_summary::ScanSummary;

/// A file or folder that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFile {
    /// Its path, relative to the root where it lies below it.
    pub path: PathBuf,
    /// Reason, without the path.
    pub reason: String,
}

/// The image files of a folder, known by their index `0..len()`.
#[derive(Debug, Clone)]
pub struct ImageFolder {
    root: PathBuf,
    /// Relative to `root`, or absolute.
    paths: Vec<PathBuf>,
    labels: Option<Labels>,
    skipped: Vec<SkippedFile>,
    summary: ScanSummary,
}

impl ImageFolder {
    /// A list of images that is known already; nothing is read. `paths` are absolute or relative to `root`,
    /// and `labels`, if any, must have one entry for each of them.
    pub fn from_paths(root: PathBuf, paths: Vec<PathBuf>, labels: Option<Labels>) -> Self {
        let summary = ScanSummary::of(paths.len());
        Self { root, paths, labels, skipped: Vec::new(), summary }
    }

    pub(crate) fn with_findings(self, skipped: Vec<SkippedFile>, summary: ScanSummary) -> Self {
        Self { skipped, summary, ..self }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The folder as given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of an image that can be opened.
    ///
    /// # Panics
    /// If `image_index` is not below [`len`](Self::len).
    pub fn path(&self, image_index: usize) -> PathBuf {
        self.root.join(&self.paths[image_index])
    }

    /// Path of an image relative to the root, or absolute if it was given so to [`ImageFolder::from_paths`].
    ///
    /// # Panics
    /// If `image_index` is not below [`len`](Self::len).
    pub fn relative_path(&self, image_index: usize) -> &Path {
        &self.paths[image_index]
    }

    /// Classes of the images, if known.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// Entries that looked like images or folders but were left out, in the order they were found.
    pub fn skipped(&self) -> &[SkippedFile] {
        &self.skipped
    }

    /// Summary of the scan: images found and files passed over.
    pub fn summary(&self) -> &ScanSummary {
        &self.summary
    }

    /// Moves images, given by index and reason, to [`skipped`](Self::skipped). The others keep their order
    /// and move up; names of classes stay, even of those that have no image left. Indices that do not exist
    /// are ignored.
    pub fn exclude(&mut self, failures: &[(usize, String)]) {
        let reasons: HashMap<usize, &String> =
            failures.iter().rev().map(|(index, reason)| (*index, reason)).collect();
        if let Some(labels) = &mut self.labels {
            let mut indices = 0..;
            labels.of_image.retain(|_| indices.next().is_some_and(|index| !reasons.contains_key(&index)));
        }
        for (index, path) in std::mem::take(&mut self.paths).into_iter().enumerate() {
            match reasons.get(&index) {
                Some(&reason) => self.skipped.push(SkippedFile { path, reason: reason.clone() }),
                None => self.paths.push(path),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excluded_images_become_skipped_ones() {
        let labels = Labels { names: vec!["x".into()], of_image: vec![Some(0), None, Some(0), None] };
        let paths = ["a", "b", "c", "d"].map(PathBuf::from).to_vec();
        let mut images = ImageFolder::from_paths("root".into(), paths, Some(labels));
        images.exclude(&[(2, "broken".into()), (0, "empty".into()), (2, "again".into()), (9, "?".into())]);
        assert_eq!(
            (images.len(), images.relative_path(0), images.path(1)),
            (2, Path::new("b"), "root/d".into())
        );
        assert_eq!(images.labels().unwrap().of_image, [None, None]);
        let skipped: Vec<(&Path, &str)> =
            images.skipped().iter().map(|file| (file.path.as_path(), file.reason.as_str())).collect();
        assert_eq!(skipped, [(Path::new("a"), "empty"), (Path::new("c"), "broken")]);
    }

    #[test]
    fn absolute_paths_stay_absolute() {
        let absolute = std::env::temp_dir().join("image.png");
        let images = ImageFolder::from_paths("root".into(), vec![absolute.clone()], None);
        assert_eq!(images.path(0), absolute);
    }
}
