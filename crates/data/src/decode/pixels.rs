//! Pixels of any type as RGB of 8 bits: grey is repeated, alpha dropped, 16 bits and floats are scaled.

use image::DynamicImage;

use crate::decode::color::to_eight_bits;
use crate::decode::rgb_image::RgbImage8;

/// Converts any pixel type.
pub(crate) fn to_rgb_image(image: DynamicImage) -> Result<RgbImage8, String> {
    use DynamicImage as Image;
    let (width, height) = (image.width(), image.height());
    let from_u8 = |value: u8| value;
    let pixels = match image {
        Image::ImageRgb8(rgb) => rgb.into_raw(),
        Image::ImageLuma8(grey) => collect_rgb::<_, 1>(&grey, from_u8),
        Image::ImageLumaA8(grey) => collect_rgb::<_, 2>(&grey, from_u8),
        Image::ImageRgba8(rgba) => collect_rgb::<_, 4>(&rgba, from_u8),
        Image::ImageLuma16(grey) => collect_rgb::<_, 1>(&grey, from_u16),
        Image::ImageLumaA16(grey) => collect_rgb::<_, 2>(&grey, from_u16),
        Image::ImageRgb16(rgb) => collect_rgb::<_, 3>(&rgb, from_u16),
        Image::ImageRgba16(rgba) => collect_rgb::<_, 4>(&rgba, from_u16),
        Image::ImageRgb32F(rgb) => collect_rgb::<_, 3>(&rgb, from_f32),
        Image::ImageRgba32F(rgba) => collect_rgb::<_, 4>(&rgba, from_f32),
        other => return Err(format!("pixels of type {:?} are not supported", other.color())),
    };
    Ok(RgbImage8 { width, height, pixels })
}

/// Takes grey (1 or 2 channels, the second alpha) or colour (3 or 4, the fourth alpha) to RGB.
fn collect_rgb<T: Copy, const NUM_CHANNELS: usize>(samples: &[T], to_u8: impl Fn(T) -> u8) -> Vec<u8> {
    let (pixels, _) = samples.as_chunks::<NUM_CHANNELS>();
    let mut rgb = Vec::with_capacity(pixels.len() * 3);
    for pixel in pixels {
        let (green, blue) = if NUM_CHANNELS < 3 { (0, 0) } else { (1, 2) };
        rgb.extend([to_u8(pixel[0]), to_u8(pixel[green]), to_u8(pixel[blue])]);
    }
    rgb
}

fn from_u16(value: u16) -> u8 {
    to_eight_bits(value, u16::MAX)
}

/// 0.0..=1.0 to 0..=255; NaN becomes 0.
fn from_f32(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_clamped_to_one() {
        for (value, expected) in [(-3.0, 0), (0.0, 0), (0.5, 128), (1.0, 255), (7.0, 255), (f32::NAN, 0)] {
            assert_eq!(from_f32(value), expected, "{value}");
        }
    }

    #[test]
    fn grey_is_repeated_and_alpha_dropped() {
        assert_eq!(collect_rgb::<u8, 1>(&[1, 2], |value| value), [1, 1, 1, 2, 2, 2]);
        assert_eq!(collect_rgb::<u8, 2>(&[1, 0, 2, 9], |value| value), [1, 1, 1, 2, 2, 2]);
        assert_eq!(collect_rgb::<u8, 4>(&[1, 2, 3, 0], |value| value), [1, 2, 3]);
    }
}
