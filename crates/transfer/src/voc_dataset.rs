//! Images with their objects, of a data set in the layout of PASCAL VOC.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use deepcluster_data::{Images, VOC_CLASSES, VocFolder, VocTask};
use deepcluster_evaluation::BoundingBox;

use crate::error::TransferError;

/// An object of a known class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VocBox {
    /// Number of its class.
    pub class: usize,
    /// Bounding box, in pixels from 0.
    pub bounds: BoundingBox,
    /// Whether it need not be found.
    pub is_difficult: bool,
}

/// The images of a list, with their objects.
#[derive(Debug, Clone)]
pub struct VocImages {
    /// Names without extension.
    pub names: Vec<String>,
    /// The files, in the same order.
    pub images: Arc<Images>,
    /// The objects of each.
    pub objects: Vec<Vec<VocBox>>,
}

impl VocImages {
    /// Whether each image shows each class, `[images][classes]`: `None`, which does not count, where all
    /// objects of the class are difficult.
    pub fn labels(&self, num_classes: usize) -> Vec<Vec<Option<bool>>> {
        let image_labels = |objects: &Vec<VocBox>| {
            let mut labels = vec![Some(false); num_classes];
            for object in objects {
                let label = &mut labels[object.class];
                if !object.is_difficult {
                    *label = Some(true);
                } else if *label == Some(false) {
                    *label = None;
                }
            }
            labels
        };
        self.objects.iter().map(image_labels).collect()
    }

    /// Bytes that tell these images from others.
    pub(crate) fn fingerprint_names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| name.as_bytes())
    }
}

/// Training and test images with objects of the same classes.
#[derive(Debug, Clone)]
pub struct VocDataset {
    /// Names of the classes: VOC's own in its order where there are no others, otherwise all that occur,
    /// sorted.
    pub class_names: Vec<String>,
    /// Training images.
    pub train: VocImages,
    /// Test images.
    pub test: VocImages,
}

impl VocDataset {
    /// Reads the annotations of two lists, such as `trainval` and `test`, of the folder at `root`.
    ///
    /// # Errors
    /// [`TransferError::Data`] with the file that cannot be read, and why.
    pub fn open(root: &Path, train_set: &str, test_set: &str) -> Result<Self, TransferError> {
        let folder = VocFolder::open(root)?;
        let read = |set: &str| -> Result<Vec<_>, TransferError> {
            let names = folder.image_set(VocTask::Main, set)?;
            let annotated = names.into_iter().map(|name| {
                let annotation = folder.annotation(&name)?;
                Ok((name, annotation.objects))
            });
            annotated.collect()
        };
        let (train, test) = (read(train_set)?, read(test_set)?);
        let objects = || train.iter().chain(&test).flat_map(|(_, objects)| objects);
        let found: BTreeSet<&str> = objects().map(|object| object.class.as_str()).collect();
        let class_names: Vec<String> = if found.iter().all(|class| VOC_CLASSES.contains(class)) {
            VOC_CLASSES.map(str::to_string).to_vec()
        } else {
            found.into_iter().map(str::to_string).collect()
        };
        let assemble = |list: Vec<(String, Vec<deepcluster_data::VocObject>)>| {
            let (mut names, mut boxes) = (Vec::new(), Vec::new());
            for (name, objects) in list {
                names.push(name);
                let numbered = objects.into_iter().filter_map(|object| {
                    let class = class_names.iter().position(|class| *class == object.class)?;
                    let bounds = BoundingBox {
                        x_min: object.x_min,
                        y_min: object.y_min,
                        x_max: object.x_max,
                        y_max: object.y_max,
                    };
                    Some(VocBox { class, bounds, is_difficult: object.is_difficult })
                });
                boxes.push(numbered.collect());
            }
            let images = Arc::new(folder.images(&names));
            VocImages { names, images, objects: boxes }
        };
        let (train, test) = (assemble(train), assemble(test));
        Ok(Self { class_names, train, test })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use image::{Rgb, RgbImage};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A data set in VOC's layout: each image has a bright square with horizontal or upright bars ("across",
    /// "upright") on grey noise, its box, and its mask. `num_images` for each of the lists `train` and
    /// `test`.
    pub(crate) fn bars(root: &Path, num_images: usize, side: u32) {
        for folder in
            ["JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"]
        {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        for set in ["train", "test"] {
            let mut list = String::new();
            for number in 0..num_images {
                let name = format!("{set}{number:03}");
                list.push_str(&format!("{name}\n"));
                let is_across = number % 2 == 0;
                let size = generator.random_range(side / 3..side / 2);
                let (left, top) =
                    (generator.random_range(0..side - size), generator.random_range(0..side - size));
                let mut labels = vec![0_u8; (side * side) as usize];
                let picture = RgbImage::from_fn(side, side, |x, y| {
                    let inside = (left..left + size).contains(&x) && (top..top + size).contains(&y);
                    if !inside {
                        return Rgb([generator.random_range(60..90); 3]);
                    }
                    labels[(y * side + x) as usize] = if is_across { 1 } else { 2 };
                    let place = if is_across { y } else { x };
                    Rgb([if place / 2 % 2 == 0 { 250 } else { 10 }; 3])
                });
                picture.save(root.join(format!("JPEGImages/{name}.png"))).unwrap();
                let mask = image::GrayImage::from_raw(side, side, labels).unwrap();
                mask.save(root.join(format!("SegmentationClass/{name}.png"))).unwrap();
                let class = if is_across { "across" } else { "upright" };
                let xml = format!(
                    "<annotation><object><name>{class}</name><difficult>0</difficult><bndbox><xmin>{}</xmin><ymin>{}\
                     </ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>",
                    left + 1,
                    top + 1,
                    left + size,
                    top + size
                );
                fs::write(root.join(format!("Annotations/{name}.xml")), xml).unwrap();
            }
            for task in ["Main", "Segmentation"] {
                fs::write(root.join(format!("ImageSets/{task}/{set}.txt")), &list).unwrap();
            }
        }
        fs::write(root.join("classes.txt"), "background\nacross\nupright\n").unwrap();
    }

    #[test]
    fn objects_get_the_numbers_of_their_classes() {
        let root = tempfile::tempdir().unwrap();
        bars(root.path(), 3, 24);
        let data = VocDataset::open(root.path(), "train", "test").unwrap();
        assert_eq!(data.class_names, ["across", "upright"]);
        assert_eq!(data.train.names, ["train000", "train001", "train002"]);
        let classes: Vec<usize> = data.test.objects.iter().map(|objects| objects[0].class).collect();
        assert_eq!(classes, [0, 1, 0]);
        assert!(data.train.images.file(0).unwrap().exists());
        let error = VocDataset::open(root.path(), "train", "val").unwrap_err().to_string();
        assert!(error.contains("val.txt"), "{error}");
    }

    #[test]
    fn classes_whose_objects_are_all_difficult_do_not_count() {
        let bounds = BoundingBox { x_min: 0.0, y_min: 0.0, x_max: 1.0, y_max: 1.0 };
        let object = |class, is_difficult| VocBox { class, bounds, is_difficult };
        let images = VocImages {
            names: vec!["a".to_string()],
            images: Arc::new(Images::from_paths("".into(), vec!["a".into()], None)),
            objects: vec![vec![
                object(0, true),
                object(1, false),
                object(1, true),
                object(2, true),
                object(2, false),
            ]],
        };
        assert_eq!(images.labels(4), [[None, Some(true), Some(true), Some(false)]]);
    }
}
