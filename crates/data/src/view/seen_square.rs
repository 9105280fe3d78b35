//! The part of an image that a network sees, to be shown.

use crate::decode::rgb_image::RgbImage8;
use crate::error::DataError;
use crate::view::resize::{CropBox, resize_crop};

/// Side in pixels of the central square that a network sees of an image of `width x height`, where the
/// shorter side of images is resized to `resize`, of which `size` is seen; at least 1.
pub fn seen_side(width: u32, height: u32, resize: u32, size: u32) -> u32 {
    let short = u64::from(width.min(height));
    (short * u64::from(size) / u64::from(resize.max(1))).clamp(1, short.max(1)) as u32
}

/// The central square that a network sees of an image, as [`Transform::Center`](crate::Transform::Center)
/// cuts it out, resized to `side x side` pixels.
///
/// # Errors
/// Those of [`resize_crop`].
pub fn seen_square(image: &RgbImage8, resize: u32, size: u32, side: u32) -> Result<RgbImage8, DataError> {
    let seen = seen_side(image.width, image.height, resize, size);
    let (left, top) = (image.width.saturating_sub(seen) / 2, image.height.saturating_sub(seen) / 2);
    resize_crop(image, CropBox { left, top, width: seen, height: seen }, side, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_is_seen() {
        // Of the central 20 pixels a network of 16 px with images of 20 px sees columns 12 to 27 and rows 2
        // to 17.
        let inside = |index: usize| (12..28).contains(&(index % 40)) && (2..18).contains(&(index / 40));
        let pixels = (0..40 * 20).flat_map(|index| [if inside(index) { 250 } else { 0 }; 3]).collect();
        let image = RgbImage8 { width: 40, height: 20, pixels };
        let seen = seen_square(&image, 20, 16, 8).unwrap();
        assert_eq!((seen.width, seen.height), (8, 8));
        assert!(seen.pixels.iter().all(|&value| value == 250));
        let more = seen_square(&image, 20, 20, 20).unwrap();
        assert_eq!(more.pixels.iter().filter(|&&value| value == 250).count(), 3 * 16 * 16);
    }

    #[test]
    fn odd_sizes_are_no_trouble() {
        assert_eq!(
            (seen_side(1, 9000, 256, 224), seen_side(10, 20, 0, 7), seen_side(0, 0, 1, 1)),
            (1, 10, 1)
        );
        let empty = RgbImage8 { width: 0, height: 0, pixels: Vec::new() };
        assert!(seen_square(&empty, 8, 8, 4).is_err());
    }
}
