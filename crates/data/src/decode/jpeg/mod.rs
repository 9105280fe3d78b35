//! JPEG files.
//!
//! Nearly all files go to the fast decoder, `zune-jpeg`. Those that it gets wrong go to `jpeg-decoder`, which
//! is right for every layout of scans and channels, and slower; of these a damaged file is an error, while
//! the fast decoder shows it as far as it goes.

mod components;
mod general;
pub(crate) mod header;

use image::GrayImage;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::decode::pixels::to_rgb_image;
use crate::decode::rgb_image::RgbImage8;
use components::Components;
use header::JpegHeader;

/// Most pixels of all scans together: every scan of a file goes over the whole image again.
///
/// Of the largest images that are read unless set otherwise this allows 22 scans, where encoders write 10,
/// and thousands of a megapixel.
const MAX_SCANNED_PIXELS: u64 = 4_000_000_000;

/// Decodes the file in `bytes`, whose header is given, into at most `max_bytes` of pixels. EXIF orientation
/// is not applied.
///
/// The error is the reason.
pub(crate) fn decode_jpeg(bytes: &[u8], header: &JpegHeader, max_bytes: u64) -> Result<RgbImage8, String> {
    check_scans(bytes, header)?;
    if !header.suits_fast_decoder() {
        let components = general::decode_components(bytes, header, max_bytes)?;
        let pixels = general::to_rgb(&components, header);
        return Ok(RgbImage8 { width: components.width, height: components.height, pixels });
    }
    let components = decode_fast(bytes, max_bytes, Output::Shown)?;
    let Components { width, height, num_components, samples } = components;
    if num_components == 1 {
        let image =
            GrayImage::from_raw(width, height, samples).ok_or("the decoder returned too few pixels")?;
        return to_rgb_image(image.into());
    }
    Ok(RgbImage8 { width, height, pixels: samples })
}

/// The channels of a whole JPEG as stored, without conversion of colours, in at most `max_bytes`.
///
/// The error is the reason.
pub(crate) fn decode_components(bytes: &[u8], max_bytes: u64) -> Result<Components, String> {
    let header = JpegHeader::read(&mut std::io::Cursor::new(bytes))?;
    if header.frame.num_pixels().saturating_mul(header.frame.components.len() as u64) > max_bytes {
        return Err("a JPEG within the file is too large for its size in pixels".into());
    }
    check_scans(bytes, &header)?;
    if header.suits_fast_decoder() {
        decode_fast(bytes, max_bytes, Output::Stored)
    } else {
        general::decode_components(bytes, &header, max_bytes)
    }
}

/// Refuses files whose scans would take minutes.
fn check_scans(bytes: &[u8], header: &JpegHeader) -> Result<(), String> {
    let num_pixels = header.frame.num_pixels();
    let most = MAX_SCANNED_PIXELS / num_pixels.max(1);
    let num_scans = if header.is_interleaved() { 1 } else { count_scans(bytes) };
    if num_scans > most.max(1) {
        return Err(format!(
            "{num_scans} scans are too many for {num_pixels} pixels: at most {most} are decoded"
        ));
    }
    Ok(())
}

/// Scans up to the end of the image, which videos and further images may follow.
fn count_scans(bytes: &[u8]) -> u64 {
    let (mut position, mut num_scans) = (0, 0);
    while let Some(distance) = bytes.get(position..).and_then(|rest| memchr::memchr(0xFF, rest)) {
        position += distance + 1;
        match bytes.get(position) {
            // Padding, whose last byte begins a marker.
            Some(0xFF) => continue,
            Some(0xD9) | None => break,
            // A byte of the codes, and markers without content.
            Some(0x00 | 0x01 | 0xD0..=0xD8) => {}
            Some(marker) => {
                num_scans += u64::from(*marker == 0xDA);
                let length = bytes.get(position + 1..position + 3).unwrap_or(&[0, 0]);
                position += usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
        position += 1;
    }
    num_scans
}

/// Colours requested from the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Grey or RGB.
    Shown,
    /// The channels of the file.
    Stored,
}

fn decode_fast(bytes: &[u8], max_bytes: u64, output: Output) -> Result<Components, String> {
    let in_words = |error: zune_jpeg::errors::DecodeErrors| format!("Format error decoding Jpeg: {error}");
    // Damaged data is shown as far as it goes.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_max_scans(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(in_words)?;
    let stored = decoder.input_colorspace().ok_or("the decoder states no colours")?;
    let colorspace = match output {
        Output::Shown if stored != ColorSpace::Luma => ColorSpace::RGB,
        _ => stored,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colorspace));
    let too_few = || String::from("the decoder states no size");
    let (width, height) = decoder.dimensions().ok_or_else(too_few)?;
    let num_bytes = decoder.output_buffer_size().ok_or_else(too_few)?;
    if num_bytes as u64 > max_bytes {
        return Err(format!("{num_bytes} bytes are too many for its size in pixels"));
    }
    let mut samples = vec![0; num_bytes];
    decoder.decode_into(&mut samples).map_err(in_words)?;
    let num_components = colorspace.num_components();
    Ok(Components { width: width as u32, height: height as u32, num_components, samples })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;

    /// Noise over a gradient of 45 x 83 pixels, encoded as `set_up` asks for.
    fn encode(set_up: impl Fn(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let values: Vec<u8> = (0..45 * 83 * 3).map(|index| (index / 60 + index * index % 97) as u8).collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        set_up(&mut encoder);
        encoder.encode(&values, 45, 83, ColorType::Rgb).unwrap();
        bytes
    }

    #[test]
    fn scans_are_counted_up_to_the_end_of_the_image() {
        let scans = encode(|encoder| encoder.set_sampling_factor(SamplingFactor::F_4_1));
        assert_eq!(count_scans(&scans), 3);
        // Another image behind this one, and the marker within a comment.
        let more = [&scans[..2], b"\xFF\xFE\0\x06\xFF\xDA\xFF\xD9", &scans[2..], &scans].concat();
        assert_eq!(count_scans(&more), 3);
        assert_eq!(count_scans(b""), 0);
        assert_eq!(count_scans(b"\xFF\xDA\xFF"), 1);
    }

    #[test]
    fn more_pixels_than_allowed_are_refused() {
        let bytes = encode(|_| ());
        let header = JpegHeader::read(&mut Cursor::new(&bytes)).unwrap();
        let reason = decode_jpeg(&bytes, &header, 1000).unwrap_err();
        assert!(reason.contains("too many"), "{reason}");
    }
}
