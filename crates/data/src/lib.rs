//! Images for training and feature extraction: found in a folder, decoded, cropped and loaded in batches.
//!
//! - [`ImageFolder`]: the images of a folder in a fixed order, with their [`Labels`] where there are any;
//! - [`decode_image`]: one file (JPEG, PNG, WebP, BMP, TIFF or GIF) as an [`RgbImage8`];
//! - [`resize`] and [`resize_crop`]: antialiased bilinear resizing that agrees with Pillow;
//! - [`Transform`]: the centre crop and the random crop of torchvision, with normalisation;
//! - [`Loader`]: batches in a planned order, decoded by background threads;
//! - [`VocFolder`]: images with boxes and masks in the layout of PASCAL VOC;
//! - [`normalized_image`]: a whole image of any size for a network;
//! - [`seen_square`]: the part of an image that a network sees, for display;
//! - [`write_synthetic_folder`]: a labelled set of drawings for demonstrations and tests.
//!
//! All randomness comes from seeds passed in, so that a plan yields the same pixels for any number
//! of threads. Unreadable files are not errors: they are listed, with the reason, among
//! [`ImageFolder::skipped`] or [`ImageBatch::failures`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use deepcluster_data::{
//!     ImageFolder, Loader, LoaderConfig, Normalization, Sample, SyntheticConfig, Transform,
//!     write_synthetic_folder,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let drawings = SyntheticConfig { num_images: 24, image_size: 32, seed: 7 };
//! write_synthetic_folder(folder.path(), &drawings, &mut |_| {})?;
//!
//! let images = Arc::new(ImageFolder::open(folder.path())?);
//! assert_eq!(images.len(), 24);
//!
//! let loader = Loader::new(images.clone(), LoaderConfig::default())?;
//! let transform = Transform::Center { resize: 32, size: 24, normalization: Normalization::default() };
//! let samples = (0..images.len()).map(|image_index| Sample { image_index, augmentation_seed: 0 });
//! for batch in loader.batches(transform, vec![samples.collect()]) {
//!     assert_eq!(batch.pixels().len(), 24 * 3 * 24 * 24);
//!     assert!(batch.failures.is_empty());
//! }
//! # Ok(())
//! # }
//! ```

mod color;
mod decode;
mod decoder_guard;
mod error;
mod file_kind;
mod formats;
mod header;
mod image_folder;
mod jpeg;
mod label_columns;
mod label_file;
mod labels;
mod loader;
mod memory_budget;
mod normalize;
mod orientation;
mod part;
mod pixels;
mod png;
mod random_crop;
mod resize;
mod rgb_image;
mod scan;
mod scan_summary;
mod seen_square;
mod square;
mod synthetic;
mod tiff;
mod transform;
mod voc;
mod whole_image;

pub use decode::{DEFAULT_MAX_PIXELS, decode_image, decode_image_bytes};
pub use error::DataError;
pub use image_folder::{ImageFolder, SkippedFile};
pub use labels::{LabelSource, Labels};
pub use loader::{Batches, DiskCacheConfig, ImageBatch, Loader, LoaderConfig, Sample};
pub use normalize::Normalization;
pub use resize::{CropBox, resize, resize_crop};
pub use rgb_image::RgbImage8;
pub use scan::ScanConfig;
pub use scan_summary::ScanSummary;
pub use seen_square::{seen_side, seen_square};
pub use synthetic::{SYNTHETIC_KINDS, SyntheticConfig, write_synthetic_folder};
pub use transform::Transform;
pub use voc::{LabelMap, VOC_CLASSES, VOC_VOID, VocAnnotation, VocFolder, VocObject, VocTask};
pub use whole_image::{NormalizedImage, normalized_image, resize_labels};
