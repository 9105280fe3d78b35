//! Batches of transformed images, decoded by background threads.

mod batch;
mod batches;
mod cache;
mod config;
mod disk_cache;
mod image_reader;
mod work_queue;

use std::sync::Arc;
use std::thread;

pub use batch::{ImageBatch, Sample};
pub use batches::Batches;
pub use config::LoaderConfig;
pub use disk_cache::DiskCacheConfig;

use crate::error::DataError;
use crate::source::Images;
use crate::view::Transform;
use cache::ImageCache;
use disk_cache::DiskCache;
use image_reader::{Caches, ImageReader};

/// Reads batches of images.
///
/// Decoded images are kept for further passes until the bounds are reached, and stay: when whole passes are
/// repeated, an image that replaced another would be replaced itself before it is needed again.
#[derive(Debug)]
pub struct Loader {
    images: Arc<Images>,
    caches: Caches,
    config: LoaderConfig,
}

impl Loader {
    /// A loader for `images` with an empty cache.
    ///
    /// # Errors
    /// Those of [`LoaderConfig::validate`], and [`DataError::Io`] where the folder of the disk cache cannot
    /// be used.
    pub fn new(images: Arc<Images>, config: LoaderConfig) -> Result<Self, DataError> {
        config.validate()?;
        let caches = Caches {
            memory: Arc::new(ImageCache::new(config.cache_bytes)),
            disk: config.disk_cache.as_ref().map(DiskCache::open).transpose()?.map(Arc::new),
        };
        Ok(Self { images, caches, config })
    }

    /// The images it reads.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// Replaces the images, such as by those that are left once unreadable ones are excluded. Decoded images
    /// stay in memory where both are of one source.
    pub fn set_images(&mut self, images: Arc<Images>) {
        if !Arc::ptr_eq(self.images.source(), images.source()) {
            self.caches.memory = Arc::new(ImageCache::new(self.config.cache_bytes));
        }
        self.images = images;
    }

    /// Starts reading the batches of `plan`, each a list of samples, and yields them in that order.
    ///
    /// Images that cannot be read, because of the file, an index beyond the end or an invalid `transform`,
    /// are listed in [`ImageBatch::failures`]; the batch holds the other images.
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
            let images = Images::from_paths("".into(), Vec::new(), None);
            let error = Loader::new(Arc::new(images), config).unwrap_err();
            assert!(
                matches!(error, DataError::InvalidConfig { field, .. } if field == name),
                "{name}: {error}"
            );
        }
    }
}
