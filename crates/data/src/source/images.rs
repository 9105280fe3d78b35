//! The images of a run: those of a source that are kept, with their labels.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::bytes::ImageBytes;
use crate::decode::rgb_image::RgbImage8;
use crate::decode::{DecodedImage, decode_counted};
use crate::error::DataError;
use crate::source::ImageSource;
use crate::source::folder::FolderSource;
use crate::source::labels::Labels;
use crate::source::location::Location;
use crate::source::scan_summary::ScanSummary;

/// A skipped file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFile {
    /// Its name: in a folder the path, relative to the root where it lies below it.
    pub path: PathBuf,
    /// The reason, without the path.
    pub reason: String,
}

/// The images of a run, known by their index `0..len()`, wherever they lie.
///
/// ```
/// use deepcluster_data::{Images, SyntheticConfig, write_synthetic_folder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let drawings = SyntheticConfig { num_images: 24, image_size: 32, seed: 7 };
/// write_synthetic_folder(folder.path(), &drawings, &mut |_| {})?;
///
/// let mut images = Images::open(folder.path())?;
/// assert_eq!(images.len(), 24);
/// let first = images.decode(0, 1 << 20)?;
/// assert_eq!((first.width, first.height), (32, 32));
///
/// let second = images.name(1).to_string();
/// images.exclude(&[(0, "not this one".to_string())]);
/// assert_eq!((images.len(), images.name(0)), (23, second.as_str()));
/// assert_eq!(images.skipped()[0].reason, "not this one");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Images {
    source: Arc<dyn ImageSource>,
    /// Index in the source of each image.
    kept: Vec<usize>,
    labels: Option<Labels>,
    skipped: Vec<SkippedFile>,
    summary: ScanSummary,
}

impl Images {
    /// All images of a source, without labels.
    pub fn from_source(source: Arc<dyn ImageSource>) -> Self {
        let num_images = source.len();
        let summary = ScanSummary::of(num_images);
        Self { source, kept: (0..num_images).collect(), labels: None, skipped: Vec::new(), summary }
    }

    /// Files that are known already; nothing is read. `paths` are absolute or relative to `root`, and
    /// `labels`, if any, must have one entry for each of them.
    pub fn from_paths(root: PathBuf, paths: Vec<PathBuf>, labels: Option<Labels>) -> Self {
        Self::listed(FolderSource::new(root, paths), labels)
    }

    pub(crate) fn listed(source: impl ImageSource + 'static, labels: Option<Labels>) -> Self {
        Self { labels, ..Self::from_source(Arc::new(source)) }
    }

    pub(crate) fn with_findings(self, skipped: Vec<SkippedFile>, summary: ScanSummary) -> Self {
        Self { skipped, summary, ..self }
    }

    /// The same images with labels.
    ///
    /// # Errors
    /// [`DataError::InvalidConfig`] unless there is one entry for each image, and a name for each class.
    pub fn with_labels(self, labels: Labels) -> Result<Self, DataError> {
        let has_name = |label: &u32| (*label as usize) < labels.names.len();
        if labels.of_image.len() != self.len() || !labels.of_image.iter().flatten().all(has_name) {
            let value = format!("{} entries", labels.of_image.len());
            let allowed = "one entry for each image, and a name for each class";
            return Err(DataError::invalid_config("labels", value, allowed));
        }
        Ok(Self { labels: Some(labels), ..self })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The place of the images.
    pub fn location(&self) -> Location {
        self.source.location()
    }

    /// Whether the images can be read at all: their folder may have moved.
    pub fn is_there(&self) -> bool {
        self.source.is_there()
    }

    /// Name of an image, as tables and captions show it; in a folder its path relative to the root.
    ///
    /// # Panics
    /// If `image_index` is not below [`len`](Self::len).
    pub fn name(&self, image_index: usize) -> &str {
        self.source.name(self.kept[image_index])
    }

    /// Name of an image as the operating system has it, for tables by which it must be found again. It
    /// differs from [`name`](Self::name) only for files whose names are not Unicode.
    ///
    /// # Panics
    /// If `image_index` is not below [`len`](Self::len).
    pub fn os_name(&self, image_index: usize) -> &OsStr {
        self.source.os_name(self.kept[image_index])
    }

    /// An image and its place, for messages: in a folder the path that can be opened.
    ///
    /// # Panics
    /// If `image_index` is not below [`len`](Self::len).
    pub fn place(&self, image_index: usize) -> String {
        self.place_path(image_index).to_string_lossy().into_owned()
    }

    fn place_path(&self, image_index: usize) -> PathBuf {
        let within = || format!("{} of {}", self.name(image_index), self.location()).into();
        self.file(image_index).unwrap_or_else(within)
    }

    /// The file of an image, where it has one of its own, to be linked to or copied.
    pub fn file(&self, image_index: usize) -> Option<PathBuf> {
        self.source.file(*self.kept.get(image_index)?)
    }

    /// The encoded image.
    ///
    /// # Errors
    /// [`DataError::NoSuchImage`]; [`DataError::Decode`] where the source finds it damaged, [`DataError::Io`]
    /// where it cannot be read.
    pub fn read(&self, image_index: usize) -> Result<ImageBytes, DataError> {
        let read = self.source.read(self.source_index(image_index)?);
        read.map_err(|error| DataError::reading(self.place_path(image_index), error))
    }

    /// The decoded image; `max_pixels` bounds its size as in [`decode_image`](crate::decode_image).
    ///
    /// # Errors
    /// Those of [`Images::read`], [`DataError::TooManyPixels`], and [`DataError::Decode`] where it is not an
    /// image of a readable format, or a damaged one.
    pub fn decode(&self, image_index: usize, max_pixels: u64) -> Result<RgbImage8, DataError> {
        Ok(self.decode_counted(image_index, max_pixels)?.image)
    }

    /// As [`Images::decode`]; the memory of the image counts until it is dropped.
    pub(crate) fn decode_counted(
        &self,
        image_index: usize,
        max_pixels: u64,
    ) -> Result<DecodedImage, DataError> {
        let bytes = self.read(image_index)?;
        decode_counted(bytes, &self.place_path(image_index), max_pixels)
    }

    /// Index of an image in the source, by which caches know it: it stays when others are excluded.
    pub(crate) fn source_index(&self, image_index: usize) -> Result<usize, DataError> {
        let num_images = self.len();
        self.kept.get(image_index).copied().ok_or(DataError::NoSuchImage { image_index, num_images })
    }

    pub(crate) fn source(&self) -> &Arc<dyn ImageSource> {
        &self.source
    }

    /// Whether an image is the image `other_index` of `other`: one file, or one name at one place.
    pub fn is_same(&self, image_index: usize, other: &Self, other_index: usize) -> bool {
        if let (Some(a), Some(b)) = (self.file(image_index), other.file(other_index)) {
            return a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
        }
        self.location() == other.location() && self.os_name(image_index) == other.os_name(other_index)
    }

    /// Classes of the images, if known.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// Entries that looked like images or folders but were left out, in the order they were found.
    pub fn skipped(&self) -> &[SkippedFile] {
        &self.skipped
    }

    /// Summary of the scan: images found and files skipped.
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
        for (index, in_source) in std::mem::take(&mut self.kept).into_iter().enumerate() {
            match reasons.get(&index) {
                Some(&reason) => {
                    let path = self.source.os_name(in_source).into();
                    self.skipped.push(SkippedFile { path, reason: reason.clone() });
                }
                None => self.kept.push(in_source),
            }
        }
    }

    /// The images of these names, in this order, with these labels.
    ///
    /// # Errors
    /// The first name that no image has.
    pub fn select(&self, names: &[PathBuf], labels: Option<Labels>) -> Result<Self, PathBuf> {
        let known: HashMap<&OsStr, usize> =
            self.kept.iter().map(|&index| (self.source.os_name(index), index)).collect();
        let index = |name: &PathBuf| known.get(name.as_os_str()).copied().ok_or_else(|| name.clone());
        let kept = names.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        let summary = ScanSummary::of(kept.len());
        Ok(Self { source: self.source.clone(), kept, labels, skipped: Vec::new(), summary })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn excluded_images_become_skipped_ones() {
        let labels = Labels { names: vec!["x".into()], of_image: vec![Some(0), None, Some(0), None] };
        let paths = ["a", "b", "c", "d"].map(PathBuf::from).to_vec();
        let mut images = Images::from_paths("root".into(), paths, Some(labels));
        images.exclude(&[(2, "broken".into()), (0, "empty".into()), (2, "again".into()), (9, "?".into())]);
        assert_eq!((images.len(), images.name(0), images.file(1)), (2, "b", Some("root/d".into())));
        assert_eq!(images.labels().unwrap().of_image, [None, None]);
        let skipped: Vec<(&Path, &str)> =
            images.skipped().iter().map(|file| (file.path.as_path(), file.reason.as_str())).collect();
        assert_eq!(skipped, [(Path::new("a"), "empty"), (Path::new("c"), "broken")]);
    }

    #[test]
    fn absolute_paths_stay_absolute() {
        let absolute = std::env::temp_dir().join("image.png");
        let images = Images::from_paths("root".into(), vec![absolute.clone()], None);
        assert_eq!(
            (images.file(0), images.place(0)),
            (Some(absolute.clone()), absolute.display().to_string())
        );
    }

    #[test]
    fn images_are_found_again_by_their_names() {
        let images = Images::from_paths("root".into(), ["a", "b", "c"].map(PathBuf::from).to_vec(), None);
        let chosen = images.select(&["c".into(), "a".into()], None).unwrap();
        assert_eq!((chosen.len(), chosen.name(0), chosen.name(1)), (2, "c", "a"));
        assert_eq!(images.select(&["b".into(), "d".into()], None).unwrap_err(), Path::new("d"));
    }

    #[test]
    fn labels_must_fit_the_images() {
        let images = || Images::from_paths("root".into(), vec!["a".into()], None);
        let labels = |of_image| Labels { names: vec!["x".into()], of_image };
        assert!(images().with_labels(labels(vec![Some(0)])).is_ok());
        for wrong in [vec![], vec![Some(1)], vec![None, None]] {
            assert!(matches!(images().with_labels(labels(wrong)), Err(DataError::InvalidConfig { .. })));
        }
    }

    #[test]
    fn an_index_beyond_the_end_is_an_error() {
        let images = Images::from_paths("root".into(), vec!["a".into()], None);
        assert!(matches!(images.decode(1, 100), Err(DataError::NoSuchImage { image_index: 1, .. })));
    }
}
