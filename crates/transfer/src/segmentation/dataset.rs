//! Images with a class for every pixel.

use std::path::Path;

use deepcluster_data::{LabelMap, VOC_CLASSES, VocFolder, VocTask};
use deepcluster_files::read_text;

use crate::error::TransferError;

/// A file that names the classes of a data set that is not PASCAL's, one to a line, from 0.
const CLASS_FILE: &str = "classes.txt";
/// Most bytes of it: 256 names.
const MAX_CLASS_FILE_BYTES: u64 = 1 << 20;

/// Training and test images of a folder in the layout of PASCAL VOC.
#[derive(Debug, Clone)]
pub struct SegmentationDataset {
    /// The folder.
    pub folder: VocFolder,
    /// Names of the values in masks, from 0: those of `classes.txt` in the folder where there is one,
    /// otherwise the background and VOC's classes.
    pub class_names: Vec<String>,
    /// Value of pixels that do not count.
    pub void: u8,
    /// Names of the training images.
    pub train: Vec<String>,
    /// Names of the test images.
    pub test: Vec<String>,
}

impl SegmentationDataset {
    /// Reads the lists `train_set` and `test_set` of `ImageSets/Segmentation`; `void` is 255 in VOC.
    ///
    /// # Errors
    /// [`TransferError::Data`] for a list or folder that does not exist, [`TransferError::Io`].
    pub fn open(root: &Path, train_set: &str, test_set: &str, void: u8) -> Result<Self, TransferError> {
        let folder = VocFolder::open(root)?;
        let path = root.join(CLASS_FILE);
        let mut class_names: Vec<String> = if path.exists() {
            let text = read_text(&path, MAX_CLASS_FILE_BYTES).map_err(|source| TransferError::Io {
                action: "read",
                path,
                source,
            })?;
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect()
        } else {
            std::iter::once("background").chain(VOC_CLASSES).map(str::to_string).collect()
        };
        // The void value needs no score where it is the last one.
        if class_names.len() == usize::from(void) + 1 {
            class_names.pop();
        }
        let train = folder.image_set(VocTask::Segmentation, train_set)?;
        let test = folder.image_set(VocTask::Segmentation, test_set)?;
        Ok(Self { folder, class_names, void, train, test })
    }

    /// The mask of an image, with values that have a name or do not count.
    pub(super) fn mask(&self, name: &str) -> Result<LabelMap, TransferError> {
        let mask = self.folder.class_mask(name)?;
        let num_classes = self.class_names.len();
        let is_unknown = |label: &&u8| usize::from(**label) >= num_classes && **label != self.void;
        match mask.labels.iter().find(is_unknown) {
            None => Ok(mask),
            Some(&value) => {
                Err(TransferError::UnknownMaskValue { image: name.to_string(), value, num_classes })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::voc_dataset::tests::bars;

    #[test]
    fn classes_come_from_the_folder_and_values_are_checked() {
        let root = tempfile::tempdir().unwrap();
        bars(root.path(), 2, 24);
        let data = SegmentationDataset::open(root.path(), "train", "test", 255).unwrap();
        assert_eq!(data.class_names, ["background", "across", "upright"]);
        assert!(data.mask("train001").unwrap().labels.contains(&2));
        // The last value is void here.
        let data = SegmentationDataset::open(root.path(), "train", "test", 2).unwrap();
        assert_eq!(data.class_names, ["background", "across"]);
        data.mask("train001").unwrap();
        let data = SegmentationDataset { class_names: vec!["background".into()], void: 255, ..data };
        let error = data.mask("train001").unwrap_err().to_string();
        assert!(error.contains("value 2"), "{error}");
        fs::remove_file(root.path().join(CLASS_FILE)).unwrap();
        let data = SegmentationDataset::open(root.path(), "train", "test", 255).unwrap();
        assert_eq!((data.class_names.len(), data.class_names[15].as_str()), (21, "person"));
    }
}
