//! Folders of images with labels, for training and for testing.

use std::path::Path;
use std::sync::Arc;

use deepcluster_data::{Images, LabelSource, ScanConfig};

use crate::error::TransferError;

/// Images with their classes.
#[derive(Debug, Clone)]
pub struct LabelledFolder {
    /// All images of the folder.
    pub images: Arc<Images>,
    /// Class of each image, or `None` where it has none; such images take no part.
    pub labels: Vec<Option<u32>>,
}

impl LabelledFolder {
    /// Bytes for each image that has a label, which tell this folder from others.
    pub(crate) fn described(&self) -> Vec<Vec<u8>> {
        let describe = |index: usize| {
            let name = self.images.name(index);
            format!("{name} {:?}", self.labels[index]).into_bytes()
        };
        self.labelled_images().into_iter().map(describe).collect()
    }

    /// The images that have a label.
    pub fn labelled_images(&self) -> Vec<usize> {
        (0..self.labels.len()).filter(|&index| self.labels[index].is_some()).collect()
    }
}

/// Training and test images of the same classes.
#[derive(Debug, Clone)]
pub struct LabelledPair {
    /// Names of the classes, sorted; labels count them.
    pub class_names: Vec<String>,
    /// Training images.
    pub train: LabelledFolder,
    /// Test images.
    pub test: LabelledFolder,
}

impl LabelledPair {
    /// Finds the images of two folders, by default in the layout of ImageNet and Places, a folder per class.
    ///
    /// # Errors
    /// [`TransferError::Data`] where a folder cannot be read, [`TransferError::NoLabels`],
    /// [`TransferError::UnknownClass`].
    pub fn scan(train: &Path, test: &Path, labels: &LabelSource) -> Result<Self, TransferError> {
        let config = ScanConfig { labels: labels.clone() };
        let train = Arc::new(Images::scan(train, &config)?);
        let test = Arc::new(Images::scan(test, &config)?);
        let required_labels = |images: &Images| {
            let labels = images.labels().filter(|labels| labels.of_image.iter().any(Option::is_some));
            labels.cloned().ok_or_else(|| TransferError::NoLabels { folder: images.location() })
        };
        let (train_labels, test_labels) = (required_labels(&train)?, required_labels(&test)?);
        let class_names = train_labels.names;
        let number = |name: &String| {
            let found = class_names.binary_search(name).map(|index| index as u32);
            found.map_err(|_| TransferError::UnknownClass { folder: test.location(), class: name.clone() })
        };
        let numbers: Vec<u32> = test_labels.names.iter().map(number).collect::<Result<_, _>>()?;
        let renumber = |label: &Option<u32>| label.map(|label| numbers[label as usize]);
        let labels = test_labels.of_image.iter().map(renumber).collect();
        Ok(Self {
            class_names,
            train: LabelledFolder { images: train, labels: train_labels.of_image },
            test: LabelledFolder { images: test, labels },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // A header is enough for a scan to take a file for an image.
            fs::write(path, b"\x89PNG\r\n\x1a\n").unwrap();
        }
    }

    #[test]
    fn test_labels_count_the_classes_of_the_training_images() {
        let root = tempfile::tempdir().unwrap();
        folder(root.path(), &["train/ape/1.png", "train/bee/1.png", "train/cat/1.png"]);
        folder(
            root.path(),
            &["test/bee/1.png", "test/cat/2.png", "other/ape/1.png", "other/dog/1.png", "flat/1.png"],
        );
        let path = |name: &str| root.path().join(name);
        let scan =
            |train: &str, test: &str| LabelledPair::scan(&path(train), &path(test), &LabelSource::Auto);
        let pair = scan("train", "test").unwrap();
        assert_eq!(pair.class_names, ["ape", "bee", "cat"]);
        assert_eq!(pair.test.labels, [Some(1), Some(2)]);
        let error = scan("train", "other").unwrap_err().to_string();
        assert!(error.contains("'dog'"), "{error}");
        assert!(matches!(scan("train", "flat").unwrap_err(), TransferError::NoLabels { .. }));
    }
}
