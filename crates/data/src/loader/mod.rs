//! Batches of transformed images, decoded by background threads.

mod batch;
mod batches;
mod cache;
mod disk_cache;
mod image_reader;
mod work_queue;

use std::sync::Arc;
use std::thread;

pub(crate) use batch::Square;
pub use batch::{ImageBatch, Sample};
pub use batches::Batches;
pub use disk_cache::DiskCacheConfig;

use crate::decode::DEFAULT_MAX_PIXELS;
use crate::error::DataError;
use crate::image_folder::ImageFolder;
use crate::transform::Transform;
use cache::ImageCache;
use disk_cache::DiskCache;
use image_reader::{Caches, ImageReader};

/// Most threads a loader may start.
const MAX_WORKERS: usize = 1024;

/// How much a loader may use of the machine. Nothing but `shrink_to` changes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Number of threads that read images; 0 is one for each core.
    pub num_workers: usize,
    /// Most batches that are finished or in work before the caller takes them, at least 1. Each holds
    /// `12 * size * size` bytes for every image.
    pub prefetch_batches: usize,
    /// Most bytes of decoded images that are kept in memory for further passes; 0 keeps none.
    pub cache_bytes: u64,
    /// Where decoded images are kept on disk for further passes and runs, if anywhere.
    pub disk_cache: Option<DiskCacheConfig>,
    /// Images whose shorter side is longer than this, in pixels, are first resized to it, so that more of them fit into the
    /// caches and reading them takes less; at least 1.
    pub shrink_to: Option<u32>,
    /// Most pixels an image may have, at least 1; see [`decode_image`](crate::decode_image).
    pub max_pixels: u64,
}

impl Default for LoaderConfig {
    /// One thread for each core, 4 batches ahead, 1 GiB of memory and nothing on disk for images of full size,
    /// [`DEFAULT_MAX_PIXELS`].
    fn default() -> Self {
        Self {
            num_workers: 0,
            prefetch_batches: 4,
            cache_bytes: 1 << 30,
            disk_cache: None,
            shrink_to: None,
            max_pixels: DEFAULT_MAX_PIXELS,
        }
    }
}

impl LoaderConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`DataError::InvalidConfig`] with the name of the first field that is out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        let Self { num_workers, prefetch_batches, max_pixels, .. } = *self;
        if num_workers > MAX_WORKERS {
            return Err(DataError::invalid_config("num_workers", num_workers, "0 to 1024"));
        }
        if prefetch_batches == 0 {
            return Err(DataError::invalid_config("prefetch_batches", prefetch_batches, "at least 1"));
        }
        if let Some(side) = self.shrink_to.filter(|&side| side == 0) {
            return Err(DataError::invalid_config("shrink_to", side, "at least 1"));
        }
        if max_pixels == 0 {
            return Err(DataError::invalid_config("max_pixels", max_pixels, "at least 1"));
        }
        Ok(())
    }
}

/// Reads batches of the images of a folder.
///
/// Decoded images are kept for further passes until the bounds are reached, and stay: when whole passes are repeated, an
/// image that replaced another would be replaced itself before it is needed again.
#[derive(Debug)]
pub struct Loader {
    images: Arc<ImageFolder>,
    caches: Caches,
    config: LoaderConfig,
}

impl Loader {
    /// A loader for `images` with an empty cache.
    ///
    /// # Errors
    /// Those of [`LoaderConfig::validate`], and [`DataError::Io`] where the folder of the disk cache cannot be used.
    pub fn new(images: Arc<ImageFolder>, config: LoaderConfig) -> Result<Self, DataError> {
        config.validate()?;
        let caches = Caches {
            memory: Arc::new(ImageCache::new(config.cache_bytes)),
            disk: config.disk_cache.as_ref().map(DiskCache::open).transpose()?.map(Arc::new),
        };
        Ok(Self { images, caches, config })
    }

    /// The images it reads.
    pub fn images(&self) -> &Arc<ImageFolder> {
        &self.images
    }

    /// Starts reading the batches of `plan`, each a list of samples, and gives them in that order.
    ///
    /// What cannot be read, be it for the file, an index beyond the folder or an invalid `transform`, is listed in
    /// [`ImageBatch::failures`]; the batch holds the other images.
    pub fn batches(&self, transform: Transform, plan: Vec<Vec<Sample>>) -> Batches {
        let num_workers = match self.config.num_workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            number => number,
        };
        let reader = ImageReader::new(self.images.clone(), self.caches.clone(), &self.config, transform);
        Batches::start(reader, plan, num_workers, self.config.prefetch_batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_out_of_range_is_named() {
        let good = LoaderConfig::default();
        let cases = [
            ("num_workers", LoaderConfig { num_workers: 1025, ..good.clone() }),
            ("prefetch_batches", LoaderConfig { prefetch_batches: 0, ..good.clone() }),
            ("shrink_to", LoaderConfig { shrink_to: Some(0), ..good.clone() }),
            ("max_pixels", LoaderConfig { max_pixels: 0, ..good.clone() }),
        ];
        good.validate().unwrap();
        for (name, config) in cases {
            let images = ImageFolder::from_paths("".into(), Vec::new(), None);
            let error = Loader::new(Arc::new(images), config).unwrap_err();
            assert!(
                matches!(error, DataError::InvalidConfig { field, .. } if field == name),
                "{name}: {error}"
            );
        }
    }
}
