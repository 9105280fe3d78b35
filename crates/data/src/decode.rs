//! Decoding of one file into 8-bit RGB.
//!
//! Differences between formats end here: EXIF orientation is applied, grey is repeated over the three channels,
//! alpha is dropped (as Pillow's `convert("RGB")` does, not blended), 16-bit values are divided by 257 and
//! rounded, floating-point values are clamped to 0..=1 and scaled, and of an animation the first frame is taken.
//! A file cut short counts as broken unless its decoder fills in the rest, as the JPEG decoder does once it has
//! reached the image data. Embedded colour profiles are ignored, as by Pillow.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::DataError;
use crate::header::ImageHeader;
use crate::jpeg::decode_jpeg;
use crate::rgb_image::RgbImage8;

/// Most pixels an image may have unless set otherwise, 178,956,970: the bound at which Pillow refuses a file.
pub const DEFAULT_MAX_PIXELS: u64 = 178_956_970;

/// Memory a decoder may use whatever the size of the image: tables, colour profiles, compressed blocks.
const BASE_ALLOCATION_BYTES: u64 = 64 << 20;

/// Memory a decoder may use for each pixel: 16 bytes for an RGBA float, and half as much again for its buffers.
const ALLOCATION_BYTES_PER_PIXEL: u64 = 24;

/// Decodes the image file at `path`, whatever its extension.
///
/// `max_pixels` bounds width x height as the header states it, and with it the memory a hostile file can claim.
///
/// # Errors
/// - [`DataError::Io`]: the file cannot be opened or is not a regular file.
/// - [`DataError::TooManyPixels`]: the image is larger than `max_pixels`.
/// - [`DataError::Decode`]: not a readable format, damaged, or its decoder panicked.
pub fn decode_image(path: &Path, max_pixels: u64) -> Result<RgbImage8, DataError> {
    Ok(decode_upper_rows(path, max_pixels, &|_, height| height)?.image)
}

/// An image from its first row on.
#[derive(Debug)]
pub(crate) struct UpperRows {
    /// All rows that were asked for, and others below them or not.
    pub(crate) image: RgbImage8,
    /// Rows of the whole image.
    pub(crate) full_height: u32,
}

impl UpperRows {
    /// All rows of an image.
    pub(crate) fn whole(image: RgbImage8) -> Self {
        Self { full_height: image.height, image }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.image.height == self.full_height
    }
}

/// As [`decode_image`], but of a file that allows it no more than the upper rows whose number `rows_needed` gives for
/// a width and height; their pixels are those of the whole image.
pub(crate) fn decode_upper_rows(
    path: &Path,
    max_pixels: u64,
    rows_needed: &dyn Fn(u32, u32) -> u32,
) -> Result<UpperRows, DataError> {
    let metadata = fs::metadata(path).map_err(|source| DataError::io("open", path, source))?;
    if !metadata.is_file() {
        return Err(DataError::Decode { path: path.into(), reason: "it is not a regular file".into() });
    }
    let file = File::open(path).map_err(|source| DataError::io("open", path, source))?;
    decode_stream(BufReader::new(file), metadata.len(), path, max_pixels, rows_needed)
}

/// Decodes an image file held in memory; `name` only appears in errors.
///
/// # Errors
/// Those of [`decode_image`], except [`DataError::Io`].
pub fn decode_image_bytes(bytes: &[u8], name: &Path, max_pixels: u64) -> Result<RgbImage8, DataError> {
    let all_rows = |_, height| height;
    Ok(decode_stream(Cursor::new(bytes), bytes.len() as u64, name, max_pixels, &all_rows)?.image)
}

/// Runs a decoder, turning a panic inside it into an error.
pub(crate) fn catch_decoder_panic<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        Err(format!("the decoder panicked: {message}"))
    })
}

fn decode_stream(
    mut reader: impl BufRead + Seek,
    num_file_bytes: u64,
    path: &Path,
    max_pixels: u64,
    rows_needed: &dyn Fn(u32, u32) -> u32,
) -> Result<UpperRows, DataError> {
    let broken = |reason| DataError::Decode { path: path.into(), reason };
    let header = ImageHeader::read(&mut reader).map_err(broken)?;
    let max_bytes = BASE_ALLOCATION_BYTES.saturating_add(ALLOCATION_BYTES_PER_PIXEL * header.num_pixels());
    if header.num_pixels() > max_pixels {
        let ImageHeader { width, height, .. } = header;
        return Err(DataError::TooManyPixels { path: path.into(), width, height, max_pixels });
    }
    // The JPEG decoder reads the file as a whole; the others stream it.
    if header.format == ImageFormat::Jpeg && num_file_bytes > max_bytes {
        return Err(broken(format!("{num_file_bytes} bytes are too many for its size in pixels")));
    }
    let rows = catch_decoder_panic(|| {
        reader.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        if header.format == ImageFormat::Jpeg {
            let mut bytes = Vec::with_capacity(num_file_bytes as usize);
            reader.take(max_bytes).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            return decode_jpeg(bytes, max_bytes, rows_needed);
        }
        decode_pixels(reader, header.format, max_bytes).map(UpperRows::whole)
    });
    let rows = rows.map_err(broken)?;
    rows.image.validate()?;
    Ok(rows)
}

fn decode_pixels(
    reader: impl BufRead + Seek,
    format: ImageFormat,
    max_bytes: u64,
) -> Result<RgbImage8, String> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_bytes);
    let mut image_reader = ImageReader::with_format(reader, format);
    image_reader.limits(limits.clone());
    let mut decoder = image_reader.into_decoder().map_err(|error| error.to_string())?;
    limits.reserve(decoder.total_bytes()).map_err(|error| error.to_string())?;
    decoder.set_limits(limits).map_err(|error| error.to_string())?;
    // Damaged metadata is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    if orientation != Orientation::NoTransforms {
        image.apply_orientation(orientation);
    }
    to_rgb_image(image)
}

/// Converts any pixel type; see the module's documentation for the rules.
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

/// Nearest 8-bit value: 65535 / 255 = 257.
fn from_u16(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// 0.0..=1.0 to 0..=255; NaN becomes 0.
fn from_f32(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_rounded_to_the_nearest_of_eight() {
        // 128 / 257 = 0.498, 129 / 257 = 0.502, 65406 / 257 = 254.498, 65407 / 257 = 254.502
        let cases = [
            (0, 0),
            (128, 0),
            (129, 1),
            (257, 1),
            (32_896, 128),
            (65_406, 254),
            (65_407, 255),
            (65_535, 255),
        ];
        for (value, expected) in cases {
            assert_eq!(from_u16(value), expected, "{value}");
        }
    }

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

    #[test]
    fn a_panicking_decoder_becomes_an_error() {
        let outcome = catch_decoder_panic(|| -> Result<(), String> { panic!("index 3 out of range") });
        assert_eq!(outcome.unwrap_err(), "the decoder panicked: index 3 out of range");
    }
}
