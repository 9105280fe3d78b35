//! From one sample to its pixels.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use crate::decode::{UpperRows, decode_upper_rows};
use crate::error::DataError;
use crate::image_folder::ImageFolder;
use crate::loader::batch::Sample;
use crate::loader::cache::ImageCache;
use crate::loader::config::LoaderConfig;
use crate::loader::disk_cache::{CacheKey, DiskCache};
use crate::part::Part;
use crate::resize::{Resampler, shrink};
use crate::square::Square;
use crate::transform::Transform;

/// Where decoded images are kept.
#[derive(Debug, Clone)]
pub(crate) struct Caches {
    pub(crate) memory: Arc<ImageCache>,
    pub(crate) disk: Option<Arc<DiskCache>>,
}

/// Reads single images and cuts out the part that the transform shows; shared by the threads of one pass.
#[derive(Debug)]
pub(crate) struct ImageReader {
    images: Arc<ImageFolder>,
    caches: Caches,
    max_pixels: u64,
    shrink_to: Option<u32>,
    transform: Transform,
    /// Why no image can be transformed.
    transform_error: Option<String>,
}

impl ImageReader {
    pub(crate) fn new(
        images: Arc<ImageFolder>,
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
        let Sample { image_index, augmentation_seed } = sample;
        let part = |width, height| Part::choose(&self.transform, width, height, augmentation_seed);
        let Caches { memory, disk } = &self.caches;
        if let Some(image) = memory.get(image_index) {
            return part(image.width, image.height).cut_out(resampler, &image);
        }
        let num_images = self.images.len();
        if image_index >= num_images {
            return Err(DataError::NoSuchImage { image_index, num_images });
        }
        let path = self.images.path(image_index);
        let disk = disk
            .as_ref()
            .and_then(|disk| Some((disk, CacheKey::new(&path, self.max_pixels, self.shrink_to)?)));
        let kept = disk.as_ref().and_then(|(disk, key)| disk.get(key));
        if let Some(image) = kept {
            let square = part(image.width, image.height).cut_out(resampler, &image)?;
            memory.offer(image_index, image);
            return Ok(square);
        }
        // Cached images must be whole; of all others only the visible rows are decoded.
        let is_kept = |width, height| {
            memory.has_room(width, height)
                || disk.as_ref().is_some_and(|(disk, _)| disk.has_room(width, height))
        };
        let rows_needed = |width, height| {
            if is_kept(width, height) { height } else { part(width, height).rows_needed() }
        };
        let rows = self.decode(&path, &rows_needed)?;
        let square = part(rows.image.width, rows.full_height).cut_out(resampler, &rows.image)?;
        if rows.is_whole() {
            if let Some((disk, key)) = disk {
                disk.offer(&key, &rows.image);
            }
            memory.offer(image_index, rows.image);
        }
        Ok(square)
    }

    /// The rows that are needed, or the whole image where it is to be shrunk first.
    fn decode(&self, path: &Path, rows_needed: &dyn Fn(u32, u32) -> u32) -> Result<UpperRows, DataError> {
        let Some(side) = self.shrink_to else {
            return decode_upper_rows(path, self.max_pixels, rows_needed);
        };
        let rows = decode_upper_rows(path, self.max_pixels, &|_, height| height)?;
        let image = &rows.image;
        Ok(if image.width.min(image.height) > side { UpperRows::whole(shrink(image, side)?) } else { rows })
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
            let caches = Caches { memory: Arc::new(ImageCache::new(0)), disk: None };
            let config = LoaderConfig { max_pixels: 256, ..LoaderConfig::default() };
            // A size that validation refuses asks for more memory than there can be.
            ImageReader {
                transform_error: None,
                ..ImageReader::new(images.clone(), caches, &config, transform)
            }
        };
        let sample = Sample { image_index: 0, augmentation_seed: 0 };
        let mut resampler = Resampler::default();
        let reason = reader(1 << 31).read(sample, &mut resampler).unwrap_err();
        assert_eq!(reason, "reading it failed unexpectedly");
        assert_eq!(reader(16).read(sample, &mut resampler).unwrap().pixels.len(), 768);
    }
}
