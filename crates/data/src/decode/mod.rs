//! Decoding of one file into 8-bit RGB.
//!
//! Differences between formats end here: the orientation of the metadata is applied ([`orientation`]), grey
//! is repeated over the three channels, alpha is dropped (as Pillow's `convert("RGB")` does, not blended;
//! colours that a TIFF has multiplied by it are divided again), 16-bit values are divided by 257 and rounded,
//! floating-point values are clamped to 0..=1 and scaled, and of an animation the first frame is taken.
//! Embedded colour profiles are ignored, as by Pillow.
//!
//! A file that ends behind its last pixel is read. One that ends within the pixels counts as broken unless
//! its decoder fills in the rest, as the JPEG decoder does once it has reached the image data, but for the
//! few files that need the slower one ([`jpeg`]).
//!
//! All decoders of the process share one budget of memory ([`memory_budget`]): each waits until what its
//! image needs, by the header, fits beside the others.

pub(crate) mod bytes;
mod color;
pub(crate) mod decoder_guard;
pub(crate) mod formats;
mod header;
mod jpeg;
mod memory_budget;
mod orientation;
mod pixels;
mod png;
pub(crate) mod rgb_image;
mod tiff;

use std::io::{BufRead, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::decode::bytes::ImageBytes;
use crate::decode::decoder_guard::catch_decoder_panic;
use crate::decode::header::ImageHeader;
use crate::decode::jpeg::decode_jpeg;
use crate::decode::jpeg::header::JpegHeader;
use crate::decode::memory_budget::{DECODER_MEMORY, MemoryShare};
use crate::decode::orientation::{jpeg_orientation, read_orientation};
use crate::decode::pixels::to_rgb_image;
use crate::decode::png::decode_png;
use crate::decode::rgb_image::RgbImage8;
use crate::decode::tiff::decode_tiff;
use crate::decode::tiff::layout::Layout;
use crate::error::DataError;

/// Most pixels an image may have unless set otherwise, 178,956,970: the bound at which Pillow refuses a file.
pub const DEFAULT_MAX_PIXELS: u64 = 178_956_970;

/// Most pixels an image may have whatever is set, beyond what any machine holds.
const MOST_PIXELS: u64 = 1 << 36;

/// Memory a decoder may use whatever the size of the image: tables, colour profiles, compressed blocks.
const BASE_ALLOCATION_BYTES: u64 = 64 << 20;

/// Memory a decoder may use for each pixel: 16 bytes for an RGBA float, and half as much again for its
/// buffers.
const ALLOCATION_BYTES_PER_PIXEL: u64 = 24;

/// Memory that GIF, WebP and BMP files take while they are decoded, for each pixel: RGBA, the decoder's own
/// tables or frame, and RGB.
const OTHER_BYTES_PER_PIXEL: u64 = 12;

/// Decodes the image file at `path`, whatever its extension.
///
/// `max_pixels` bounds width x height as the header states it, and with it the memory a hostile file can
/// claim.
///
/// # Errors
/// - [`DataError::Io`]: the file cannot be opened.
/// - [`DataError::TooManyPixels`]: the image is larger than `max_pixels`.
/// - [`DataError::Decode`]: not a regular file or a readable format, or damaged.
pub fn decode_image(path: &Path, max_pixels: u64) -> Result<RgbImage8, DataError> {
    let bytes = ImageBytes::open(path).map_err(|error| DataError::reading(path, error))?;
    Ok(decode_counted(bytes, path, max_pixels)?.image)
}

/// A decoded image, with its share of the memory of all decoders.
#[derive(Debug)]
pub(crate) struct DecodedImage {
    pub(crate) image: RgbImage8,
    _memory: Option<MemoryShare<'static>>,
}

impl DecodedImage {
    /// An image that is not counted among those of decoders.
    pub(crate) fn uncounted(image: RgbImage8) -> Self {
        Self { image, _memory: None }
    }

    fn oriented(image: RgbImage8, orientation: Orientation, mut memory: MemoryShare<'static>) -> Self {
        let image = orient(image, orientation);
        memory.shrink_to(image.pixels.len() as u64);
        Self { image, _memory: Some(memory) }
    }
}

fn orient(image: RgbImage8, orientation: Orientation) -> RgbImage8 {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let RgbImage8 { width, height, pixels } = image;
    let Some(image) = image::RgbImage::from_raw(width, height, pixels) else {
        return RgbImage8 { width, height, pixels: Vec::new() };
    };
    let mut image = DynamicImage::from(image);
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    RgbImage8 { width, height, pixels: image.into_bytes() }
}

/// As [`decode_image`], but of bytes; the memory of the image counts until it is dropped. `name` only appears
/// in errors.
pub(crate) fn decode_counted(
    bytes: ImageBytes,
    name: &Path,
    max_pixels: u64,
) -> Result<DecodedImage, DataError> {
    let num_bytes = bytes.len();
    decode_stream(bytes.into_reader(), num_bytes, name, max_pixels)
}

/// Decodes an image file held in memory; `name` only appears in errors.
///
/// # Errors
/// Those of [`decode_image`], except [`DataError::Io`].
pub fn decode_image_bytes(bytes: &[u8], name: &Path, max_pixels: u64) -> Result<RgbImage8, DataError> {
    Ok(decode_stream(Cursor::new(bytes), bytes.len() as u64, name, max_pixels)?.image)
}

fn decode_stream(
    mut reader: impl BufRead + Seek,
    num_file_bytes: u64,
    path: &Path,
    max_pixels: u64,
) -> Result<DecodedImage, DataError> {
    let broken = |reason| DataError::Decode { path: path.into(), reason };
    let header = ImageHeader::read(&mut reader).map_err(broken)?;
    let ImageHeader { format, width, height } = header;
    let max_pixels = max_pixels.min(MOST_PIXELS);
    if header.num_pixels() > max_pixels {
        return Err(DataError::TooManyPixels { path: path.into(), width, height, max_pixels });
    }
    let max_bytes = BASE_ALLOCATION_BYTES.saturating_add(ALLOCATION_BYTES_PER_PIXEL * header.num_pixels());
    let decoded = catch_decoder_panic(|| {
        rewind(&mut reader)?;
        if format == ImageFormat::Jpeg {
            return decode_jpeg_stream(reader, num_file_bytes, max_bytes);
        }
        let orientation = read_orientation(&mut reader, format);
        rewind(&mut reader)?;
        let num_pixels = header.num_pixels();
        let (image, memory) = match format {
            ImageFormat::Png => {
                let memory = DECODER_MEMORY.borrow(num_pixels * bytes_per_pixel(3, orientation));
                (decode_png(reader, max_bytes)?, memory)
            }
            ImageFormat::Tiff => {
                let layout = Layout::read(&mut reader)?;
                let chunk_bytes = layout.chunk_bytes().unwrap_or(u64::MAX).min(max_bytes);
                let memory =
                    DECODER_MEMORY.borrow(num_pixels * bytes_per_pixel(3, orientation) + 2 * chunk_bytes);
                (decode_tiff(&mut reader, &layout, max_bytes)?, memory)
            }
            _ => {
                let memory =
                    DECODER_MEMORY.borrow(num_pixels * bytes_per_pixel(OTHER_BYTES_PER_PIXEL, orientation));
                (decode_pixels(reader, format, max_bytes)?, memory)
            }
        };
        Ok(DecodedImage::oriented(image, orientation, memory))
    });
    let decoded = decoded.map_err(broken)?;
    decoded.image.validate()?;
    Ok(decoded)
}

/// The decoder reads the file as a whole; those of other formats stream it.
fn decode_jpeg_stream(
    mut reader: impl BufRead + Seek,
    num_file_bytes: u64,
    max_bytes: u64,
) -> Result<DecodedImage, String> {
    if num_file_bytes > max_bytes {
        return Err(format!("{num_file_bytes} bytes are too many for its size in pixels"));
    }
    let header = JpegHeader::read(&mut reader)?;
    let orientation = jpeg_orientation(&header);
    let turning = bytes_per_pixel(0, orientation) * header.frame.num_pixels();
    let memory = DECODER_MEMORY.borrow(num_file_bytes + header.decoder_bytes() + turning);
    rewind(&mut reader)?;
    let mut bytes = Vec::with_capacity(num_file_bytes as usize);
    reader.take(max_bytes).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let image = decode_jpeg(&bytes, &header, max_bytes)?;
    Ok(DecodedImage::oriented(image, orientation, memory))
}

fn rewind(reader: &mut impl Seek) -> Result<(), String> {
    reader.seek(SeekFrom::Start(0)).map(|_| ()).map_err(|error| error.to_string())
}

/// Bytes a pixel takes while it is decoded and then turned.
fn bytes_per_pixel(decoding: u64, orientation: Orientation) -> u64 {
    // The turned image beside the one that was decoded.
    if orientation == Orientation::NoTransforms { decoding } else { decoding.max(3) + 3 }
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
    let image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    to_rgb_image(image)
}
