//! Images as they are shown: the square that the network sees.

use deepcluster_data::{DEFAULT_MAX_PIXELS, Images, seen_square};
use deepcluster_models::Input;

use crate::error::ReportError;
use crate::sheets::{Rgb, RgbImage};

/// The square of an image that a network sees, as `side x side` pixels.
pub(crate) fn shown_image(
    images: &Images,
    image_index: usize,
    input: &Input,
    side: u32,
) -> Result<RgbImage, ReportError> {
    let image = images.decode(image_index, DEFAULT_MAX_PIXELS)?;
    let square = seen_square(&image, input.resize, input.side as u32, side)?;
    Ok(RgbImage::from_raw(side, side, square.pixels).expect("it has the pixels of its size"))
}

/// A grey square in place of an image that cannot be shown.
pub(crate) fn placeholder(side: u32) -> RgbImage {
    RgbImage::from_pixel(side, side, Rgb([190; 3]))
}
