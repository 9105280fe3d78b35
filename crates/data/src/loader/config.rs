//! The settings of a loader.

use crate::decode::DEFAULT_MAX_PIXELS;
use crate::error::DataError;
use crate::loader::disk_cache::DiskCacheConfig;

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
    /// Images whose shorter side is longer than this, in pixels, are first resized to it, so that more of
    /// them fit into the caches and reading them takes less; at least 1.
    pub shrink_to: Option<u32>,
    /// Most pixels an image may have, at least 1; see [`decode_image`](crate::decode_image).
    pub max_pixels: u64,
}

impl Default for LoaderConfig {
    /// One thread for each core, 4 batches ahead, 1 GiB of memory and nothing on disk for images of full
    /// size, [`DEFAULT_MAX_PIXELS`].
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
