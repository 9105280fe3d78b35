//! From one sample to its pixels.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::decode::DecodedImage;
use crate::error::DataError;
use crate::loader::batch::Sample;
use crate::loader::cache::ImageCache;
use crate::loader::config::LoaderConfig;
use crate::loader::disk_cache::{CacheKey, DiskCache};
use crate::source::images::Images;
use crate::view::Transform;
use crate::view::part::Part;
use crate::view::resize::{Resampler, shrink};
use crate::view::square::Square;

/// Where decoded images are kept.
#[derive(Debug, Clone)]
pub(crate) struct Caches {
    pub(crate) memory: Arc<ImageCache>,
    pub(crate) disk: Option<Arc<DiskCache>>,
}

/// Reads single images and cuts out the part that the transform shows; shared by the threads of one pass.
#[derive(Debug)]
pub(crate) struct ImageReader {
    images: Arc<Images>,
    caches: Caches,
    max_pixels: u64,
    shrink_to: Option<u32>,
    transform: Transform,
    /// Why no image can be transformed.
    transform_error: Option<String>,
}

impl ImageReader {
    pub(crate) fn new(
        images: Arc<Images>,
        caches: Caches,
        config: &LoaderConfig,
        transform: Transform,
    ) -> Self {
        let transform_error = transform.validate().err().map(|error| error.to_string());
        let LoaderConfig { max_pixels, shrink_to, .. } = *config;
        Self { images, caches, max_pixels, shrink_to, transform, transform_error }
    }

    pub(crate) fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Reads one image; a panic counts as a failure of this image.
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
        sample.validate()?;
        let image_index = sample.image_index;
        let part = |width, height| Part::choose(&self.transform, width, height, sample);
        let Caches { memory, disk } = &self.caches;
        let source_index = self.images.source_index(image_index)?;
        if let Some(image) = memory.get(source_index) {
            return part(image.width, image.height).cut_out(resampler, &image);
        }
        let disk = disk.as_ref().and_then(|disk| {
            let version = self.images.source().version(source_index)?;
            Some((disk, CacheKey::new(version, self.max_pixels, self.shrink_to)))
        });
        let kept = disk.as_ref().and_then(|(disk, key)| disk.get(key));
        if let Some(image) = kept {
            let square = part(image.width, image.height).cut_out(resampler, &image)?;
            memory.offer(source_index, image);
            return Ok(square);
        }
        let decoded = self.decode(image_index)?;
        let square = part(decoded.image.width, decoded.image.height).cut_out(resampler, &decoded.image)?;
        if let Some((disk, key)) = disk {
            disk.offer(&key, &decoded.image);
        }
        memory.offer(source_index, decoded.image);
        Ok(square)
    }

    /// The whole image, shrunk where the settings ask for it.
    fn decode(&self, image_index: usize) -> Result<DecodedImage, DataError> {
        let decoded = self.images.decode_counted(image_index, self.max_pixels)?;
        let image = &decoded.image;
        match self.shrink_to {
            Some(side) if image.width.min(image.height) > side => {
                Ok(DecodedImage::uncounted(shrink(image, side)?))
            }
            _ => Ok(decoded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{SYNTHETIC_KINDS, SyntheticConfig, write_synthetic_folder};
    use crate::view::normalize::Normalization;

    #[test]
    fn a_panic_becomes_a_failure_and_the_next_image_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let drawing = SyntheticConfig { num_images: 1, image_size: 16, seed: 0 };
        write_synthetic_folder(folder.path(), &drawing, &mut |_| {}).unwrap();
        let path = folder.path().join(SYNTHETIC_KINDS[0]).join("0.png");
        let images = Arc::new(Images::from_paths("".into(), vec![path], None));
        let reader = |size| {
            let transform = Transform::Center { resize: size, size, normalization: Normalization::default() };
            let caches = Caches { memory: Arc::new(ImageCache::new(0)), disk: None };
            let config = LoaderConfig { max_pixels: 256, ..LoaderConfig::default() };
            // A size that validation refuses asks for more memory than there can be.
            ImageReader {
                transform_error: None,
                ..ImageReader::new(images.clone(), caches, &config, transform)
            }
        };
        let sample = Sample { image_index: 0, augmentation_seed: 0, crop: 0 };
        let mut resampler = Resampler::default();
        let reason = reader(1 << 31).read(sample, &mut resampler).unwrap_err();
        assert_eq!(reason, "reading it failed unexpectedly");
        assert_eq!(reader(16).read(sample, &mut resampler).unwrap().pixels.len(), 768);
    }
}
