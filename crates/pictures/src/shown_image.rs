//! Images as they are shown: the square that the network sees.

use std::path::Path;

use deepcluster_data::{CropBox, DEFAULT_MAX_PIXELS, decode_image, resize_crop};
use deepcluster_plots::RgbImage;

use crate::error::PictureError;

/// The central part of an image file as the network sees it, `side x side` pixels: the shorter side of the image is
/// `resize`, of which `size` is seen.
pub(crate) fn seen_square(
    path: &Path,
    side: u32,
    (resize, size): (u32, u32),
) -> Result<RgbImage, PictureError> {
    let image = decode_image(path, DEFAULT_MAX_PIXELS)?;
    let short = image.width.min(image.height);
    let seen =
        (u64::from(short) * u64::from(size) / u64::from(resize.max(1))).clamp(1, u64::from(short)) as u32;
    let (left, top) = ((image.width - seen) / 2, (image.height - seen) / 2);
    let square = resize_crop(&image, CropBox { left, top, width: seen, height: seen }, side, side)?;
    Ok(RgbImage::from_raw(square.width, square.height, square.pixels).expect("it has the pixels of its size"))
}

/// A grey square in place of an image that cannot be read any more.
pub(crate) fn placeholder(side: u32) -> RgbImage {
    RgbImage::from_pixel(side, side, deepcluster_plots::Rgb([190; 3]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_centre_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut image = RgbImage::new(40, 20);
        // Of the central 20 pixels a network of 16 px with images of 20 px sees columns 12 to 27.
        (12..28).for_each(|x| (2..18).for_each(|y| image.put_pixel(x, y, deepcluster_plots::Rgb([250; 3]))));
        image.save(&path).unwrap();
        let seen = seen_square(&path, 8, (20, 16)).unwrap();
        assert!(seen.pixels().all(|pixel| pixel.0 == [250; 3]));
        let more = seen_square(&path, 20, (20, 20)).unwrap();
        assert_eq!(more.pixels().filter(|pixel| pixel.0 == [250; 3]).count(), 256);
        assert!(seen_square(&folder.path().join("none.png"), 8, (20, 16)).is_err());
        assert_eq!(placeholder(3).dimensions(), (3, 3));
    }
}
