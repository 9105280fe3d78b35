//! Data sets in the layout of PASCAL VOC: `JPEGImages`, `Annotations`, `ImageSets`, `SegmentationClass`.

mod annotation;
mod label_map;

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::decode::decode_image;
use crate::decode::rgb_image::RgbImage8;
use crate::error::DataError;
use crate::source::Images;

pub use annotation::{VocAnnotation, VocObject};
pub use label_map::LabelMap;

/// The classes of PASCAL VOC, in its order; in masks the first has the value 1, and 0 is the background.
pub const VOC_CLASSES: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// Value of pixels in masks that belong to no class and do not count.
pub const VOC_VOID: u8 = 255;

/// Most bytes of a list: those of ten million names.
const MAX_SET_BYTES: u64 = 256 << 20;

/// Which lists of images are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VocTask {
    /// `ImageSets/Main`: classification and detection.
    Main,
    /// `ImageSets/Segmentation`.
    Segmentation,
}

impl VocTask {
    fn folder(self) -> &'static str {
        match self {
            Self::Main => "Main",
            Self::Segmentation => "Segmentation",
        }
    }
}

/// A folder such as `VOCdevkit/VOC2007`. Images are known by their names without extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VocFolder {
    root: PathBuf,
}

impl VocFolder {
    /// The data set at `root`.
    ///
    /// # Errors
    /// [`DataError::FolderNotFound`], or [`DataError::NotVoc`] where it has no folder `JPEGImages`.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DataError> {
        let root = root.into();
        if !root.exists() {
            return Err(DataError::FolderNotFound { path: root });
        }
        if !root.join("JPEGImages").is_dir() {
            return Err(DataError::NotVoc { root });
        }
        Ok(Self { root })
    }

    /// The folder as given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names of the images of a list such as `trainval` or `test`, in its order.
    ///
    /// # Errors
    /// [`DataError::NoImageSet`] where the list is missing or empty; [`DataError::NameOutsideFolder`] where a
    /// name leads out of the folder; [`DataError::Io`].
    pub fn image_set(&self, task: VocTask, set: &str) -> Result<Vec<String>, DataError> {
        let folder = self.root.join("ImageSets").join(task.folder());
        let path = folder.join(format!("{set}.txt"));
        let missing = || {
            let known = known_sets(&folder);
            DataError::NoImageSet { path: path.clone(), known }
        };
        let text = read_text(&path, MAX_SET_BYTES).map_err(|error| match error {
            DataError::Io { source, .. } if source.kind() == ErrorKind::NotFound => missing(),
            other => other,
        })?;
        let mut names = Vec::new();
        for (line, row) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            // The lists of single classes have a second column.
            let Some(name) = row.split_whitespace().next() else { continue };
            if !Path::new(name).components().all(|component| matches!(component, Component::Normal(_))) {
                let name = name.to_string();
                return Err(DataError::NameOutsideFolder { path, line, name });
            }
            names.push(name.to_string());
        }
        if names.is_empty() { Err(missing()) } else { Ok(names) }
    }

    /// The images of these names, in their order.
    pub fn images(&self, names: &[String]) -> Images {
        let path = |name: &String| {
            let path = self.image_path(name);
            std::path::absolute(&path).unwrap_or(path)
        };
        Images::from_paths(self.root.clone(), names.iter().map(path).collect(), None)
    }

    /// The decoded image of this name.
    ///
    /// # Errors
    /// Those of [`Images::decode`].
    pub fn image(&self, name: &str, max_pixels: u64) -> Result<RgbImage8, DataError> {
        decode_image(&self.image_path(name), max_pixels)
    }

    /// Path of an image: `.jpg`, or the first other extension there is.
    pub fn image_path(&self, name: &str) -> PathBuf {
        let path = |extension: &str| self.root.join("JPEGImages").join(format!("{name}.{extension}"));
        let candidates = ["jpg", "jpeg", "JPG", "png"].map(path);
        let found = candidates.iter().find(|path| path.exists());
        found.unwrap_or(&candidates[0]).clone()
    }

    /// The objects of an image.
    ///
    /// # Errors
    /// [`DataError::Io`], or [`DataError::MalformedAnnotation`] with what is wrong.
    pub fn annotation(&self, name: &str) -> Result<VocAnnotation, DataError> {
        VocAnnotation::read(&self.root.join("Annotations").join(format!("{name}.xml")))
    }

    /// The class of every pixel of an image.
    ///
    /// # Errors
    /// [`DataError::Io`], or [`DataError::Decode`] where it is no PNG of palette or grey values.
    pub fn class_mask(&self, name: &str) -> Result<LabelMap, DataError> {
        LabelMap::read(&self.root.join("SegmentationClass").join(format!("{name}.png")))
    }
}

/// A file of UTF-8 text with at most `max_bytes`.
fn read_text(path: &Path, max_bytes: u64) -> Result<String, DataError> {
    deepcluster_files::read_text(path, max_bytes).map_err(|source| DataError::io("read", path, source))
}

/// Names of the lists of a folder that are not those of single classes.
fn known_sets(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let stem = |path: PathBuf| {
        (path.extension()? == "txt")
            .then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))?
    };
    let mut names: Vec<String> = entries.filter_map(|entry| stem(entry.path())).collect();
    names.retain(|name| !name.contains('_'));
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_missing_ones_named() {
        let root = tempfile::tempdir().unwrap();
        let error = VocFolder::open(root.path()).unwrap_err().to_string();
        assert!(error.contains("JPEGImages"), "{error}");
        let main = root.path().join("ImageSets/Main");
        fs::create_dir_all(&main).unwrap();
        fs::create_dir(root.path().join("JPEGImages")).unwrap();
        fs::write(main.join("train.txt"), "b\na\n\n").unwrap();
        fs::write(main.join("dog_train.txt"), "b  1\na -1\n").unwrap();
        let folder = VocFolder::open(root.path()).unwrap();
        assert_eq!(folder.image_set(VocTask::Main, "train").unwrap(), ["b", "a"]);
        assert_eq!(folder.image_set(VocTask::Main, "dog_train").unwrap(), ["b", "a"]);
        let error = folder.image_set(VocTask::Main, "test").unwrap_err().to_string();
        assert!(error.contains("test.txt") && error.contains("available: train"), "{error}");
        fs::write(main.join("train.txt"), "\u{feff}b\r\nsub/a\r\n").unwrap();
        assert_eq!(folder.image_set(VocTask::Main, "train").unwrap(), ["b", "sub/a"]);
        fs::write(root.path().join("JPEGImages/a.png"), "").unwrap();
        assert!(folder.image_path("a").ends_with("a.png"));
        assert!(folder.image_path("b").ends_with("b.jpg"));
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused_by_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        let main = root.path().join("ImageSets/Main");
        fs::create_dir_all(&main).unwrap();
        fs::create_dir(root.path().join("JPEGImages")).unwrap();
        let folder = VocFolder::open(root.path()).unwrap();
        for name in ["../../secret", "/etc/passwd", "a/../../b", "..", ".", "./a"] {
            fs::write(main.join("train.txt"), format!("a\n\n{name} 1\n")).unwrap();
            let error = folder.image_set(VocTask::Main, "train").unwrap_err();
            assert!(matches!(error, DataError::NameOutsideFolder { line: 3, .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains("train.txt, line 3") && error.contains(name), "{error}");
        }
        fs::write(main.join("train.txt"), b"a\n\xFF\xFE").unwrap();
        let error = folder.image_set(VocTask::Main, "train").unwrap_err().to_string();
        assert!(error.contains("train.txt: it is no text in UTF-8"), "{error}");
    }
}
