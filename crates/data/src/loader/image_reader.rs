//! From one sample to its pixels.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::decode::{UpperRows, decode_upper_rows};
use crate::error::DataError;
use crate::image_folder::ImageFolder;
use crate::loader::batch::{Sample, Square};
use crate::loader::cache::ImageCache;
use crate::part::Part;
use crate::resize::Resampler;
use crate::transform::Transform;

/// Reads single images and cuts out what the transform shows of them; shared by the threads of one pass.
#[derive(Debug)]
pub(crate) struct ImageReader {
    images: Arc<ImageFolder>,
    cache: Arc<ImageCache>,
    max_pixels: u64,
    transform: Transform,
    /// Why no image can be transformed.
    transform_error: Option<String>,
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

    pub(crate) fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Reads one image; a panic on the way counts as a failure of this image.
    pub(crate) fn read(&self, sample: Sample, resampler: &mut Resampler) -> Result<Square, String> {
        if let Some(reason) = &self.transform_error {
            return Err(reason.clone());
        }
        match catch_unwind(AssertUnwindSafe(|| self.try_read(sample, resampler))) {
            Ok(outcome) => outcome.map_err(|error| error.reason()),
            Err(_) => {
                *resampler = Resampler::default();
                Err("reading it failed unexpectedly".into())
            }
        }
    }

    fn try_read(&self, sample: Sample, resampler: &mut Resampler) -> Result<Square, DataError> {
        let Sample { image_index, augmentation_seed } = sample;
        let part = |width, height| Part::choose(&self.transform, width, height, augmentation_seed);
        if let Some(image) = self.cache.get(image_index) {
            return part(image.width, image.height).cut_out(resampler, &image);
        }
        let num_images = self.images.len();
        if image_index >= num_images {
            return Err(DataError::NoSuchImage { image_index, num_images });
        }
        // What is kept must be whole; of all others no more is decoded than is shown.
        let rows_needed = |width, height| {
            if self.cache.has_room(width, height) { height } else { part(width, height).rows_needed() }
        };
        let UpperRows { image, full_height } =
            decode_upper_rows(&self.images.path(image_index), self.max_pixels, &rows_needed)?;
        let square = part(image.width, full_height).cut_out(resampler, &image)?;
        if image.height == full_height {
            self.cache.offer(image_index, image);
        }
        Ok(square)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::Normalization;
    use crate::synthetic::{SYNTHETIC_KINDS, SyntheticConfig, write_synthetic_folder};

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
        let mut resampler = Resampler::default();
        let reason = reader(1 << 31).read(sample, &mut resampler).unwrap_err();
        assert_eq!(reason, "reading it failed unexpectedly");
        assert_eq!(reader(16).read(sample, &mut resampler).unwrap().pixels.len(), 768);
    }
}
