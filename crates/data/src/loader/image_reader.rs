//! From one sample to its pixels.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::decode::decode_image;
use crate::error::DataError;
use crate::image_folder::ImageFolder;
use crate::loader::batch::Sample;
use crate::loader::cache::ImageCache;
use crate::resize::Resampler;
use crate::rgb_image::RgbImage8;
use crate::transform::Transform;

/// Reads and transforms single images; shared by the threads of one pass.
#[derive(Debug)]
pub(crate) struct ImageReader {
    images: Arc<ImageFolder>,
    cache: Arc<ImageCache>,
    max_pixels: u64,
    transform: Transform,
    /// Why no image can be transformed.
    transform_error: Option<String>,
}

/// What a thread keeps from one image to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    resampler: Resampler,
    /// The latest image, `[3, size, size]`.
    values: Vec<f32>,
}

impl ImageReader {
    pub(crate) fn new(
        images: Arc<ImageFolder>,
        cache: Arc<ImageCache>,
        max_pixels: u64,
        transform: Transform,
    ) -> Self {
        let transform_error = transform.validate().err().map(|error| error.to_string());
        Self { images, cache, max_pixels, transform, transform_error }
    }

    /// Side of the images in pixels.
    pub(crate) fn size(&self) -> u32 {
        self.transform.size()
    }

    /// Values of one image; 0 if none can be made.
    pub(crate) fn num_values(&self) -> usize {
        if self.transform_error.is_some() { 0 } else { self.transform.num_values() }
    }

    /// Reads one image; a panic on the way counts as a failure of this image. The result is valid until the next
    /// call.
    pub(crate) fn read<'a>(&self, sample: Sample, scratch: &'a mut Scratch) -> Result<&'a [f32], String> {
        if let Some(reason) = &self.transform_error {
            return Err(reason.clone());
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.try_read(sample, scratch)));
        match outcome {
            Ok(Ok(())) => Ok(&scratch.values),
            Ok(Err(error)) => Err(error.reason()),
            Err(_) => {
                *scratch = Scratch::default();
                Err("reading it failed unexpectedly".into())
            }
        }
    }

    fn try_read(&self, sample: Sample, scratch: &mut Scratch) -> Result<(), DataError> {
        let image = self.decoded(sample.image_index)?;
        scratch.values.resize(self.num_values(), 0.0);
        let Scratch { resampler, values } = scratch;
        self.transform.apply_with(resampler, &image, sample.augmentation_seed, values)
    }

    fn decoded(&self, image_index: usize) -> Result<Arc<RgbImage8>, DataError> {
        if let Some(image) = self.cache.get(image_index) {
            return Ok(image);
        }
        let num_images = self.images.len();
        if image_index >= num_images {
            return Err(DataError::NoSuchImage { image_index, num_images });
        }
        let image = Arc::new(decode_image(&self.images.path(image_index), self.max_pixels)?);
        self.cache.offer(image_index, &image);
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{SYNTHETIC_KINDS, SyntheticConfig, write_synthetic_folder};
    use crate::transform::Normalization;

    #[test]
    fn a_panic_becomes_a_failure_and_the_next_image_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let drawing = SyntheticConfig { num_images: 1, image_size: 16, seed: 0 };
        write_synthetic_folder(folder.path(), &drawing, &mut |_| {}).unwrap();
        let path = folder.path().join(SYNTHETIC_KINDS[0]).join("0.png");
        let images = Arc::new(ImageFolder::from_paths("".into(), vec![path], None));
        let reader = |size| {
            let transform = Transform::Center { resize: size, size, normalization: Normalization::default() };
            let cache = Arc::new(ImageCache::new(0));
            // A size that validation would have refused asks for more memory than there can be.
            ImageReader { images: images.clone(), cache, max_pixels: 256, transform, transform_error: None }
        };
        let sample = Sample { image_index: 0, augmentation_seed: 0 };
        let mut scratch = Scratch::default();
        let reason = reader(u32::MAX).read(sample, &mut scratch).unwrap_err();
        assert_eq!(reason, "reading it failed unexpectedly");
        assert_eq!(reader(16).read(sample, &mut scratch).unwrap().len(), 768);
    }
}
