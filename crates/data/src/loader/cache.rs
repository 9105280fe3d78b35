//! Decoded images that are kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::decode::rgb_image::RgbImage8;

/// The first decoded images that fit into a number of bytes. Nothing is ever removed.
pub(crate) struct ImageCache {
    kept: RwLock<Kept>,
}

struct Kept {
    /// By index in the source.
    images: HashMap<usize, Arc<RgbImage8>>,
    free_bytes: u64,
}

impl ImageCache {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { kept: RwLock::new(Kept { images: HashMap::new(), free_bytes: max_bytes }) }
    }

    pub(crate) fn get(&self, source_index: usize) -> Option<Arc<RgbImage8>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).images.get(&source_index).cloned()
    }

    /// Whether an image of this size would be kept just now.
    pub(crate) fn has_room(&self, width: u32, height: u32) -> bool {
        let num_bytes = u64::from(width) * u64::from(height) * 3 + size_of::<RgbImage8>() as u64;
        num_bytes <= self.kept.read().unwrap_or_else(PoisonError::into_inner).free_bytes
    }

    /// Keeps the image if it fits.
    pub(crate) fn offer(&self, source_index: usize, image: RgbImage8) {
        if !self.has_room(image.width, image.height) {
            return;
        }
        let num_bytes = (image.pixels.capacity() + size_of::<RgbImage8>()) as u64;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if num_bytes <= kept.free_bytes && !kept.images.contains_key(&source_index) {
            kept.free_bytes -= num_bytes;
            kept.images.insert(source_index, Arc::new(image));
        }
    }
}

impl fmt::Debug for ImageCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        formatter
            .debug_struct("ImageCache")
            .field("num_images", &kept.images.len())
            .field("free_bytes", &kept.free_bytes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_images_that_fit_stay() {
        let image =
            |side: u32| RgbImage8 { width: side, height: side, pixels: vec![0; (side * side * 3) as usize] };
        // 300 bytes of pixels each for a side of 10, and less than 100 around them.
        let cache = ImageCache::new(800);
        cache.offer(0, image(10));
        cache.offer(0, image(10));
        cache.offer(1, image(100));
        cache.offer(2, image(10));
        cache.offer(3, image(10));
        let kept: Vec<bool> = (0..4).map(|index| cache.get(index).is_some()).collect();
        assert_eq!(kept, [true, false, true, false]);
    }
}
