//! JPEG files, decoded from the first row to the last one that is needed.
//!
//! The codes of a JPEG can only be read in their order, so what lies above a crop has to be decoded; what
//! lies below has not. The decoder is made to stop there by a smaller height in the frame header.
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

use crate::pixels::to_rgb_image;
use crate::rgb_image::RgbImage8;
use components::Components;
use header::JpegHeader;

/// Rows below the last one needed that are decoded too, for each block of chroma that covers several rows:
/// these are blended with the rows of the next block.
const CHROMA_MARGIN: u32 = 2;

/// Most pixels of all scans together: every scan of a file goes over the whole image again.
///
/// Of the largest images that are read unless set otherwise this allows 22 scans, where encoders write 10,
/// and thousands of a megapixel.
const MAX_SCANNED_PIXELS: u64 = 4_000_000_000;

/// Decodes the file in `bytes`, whose header is given, down to the row that `rows_needed` gives for its width
/// and height, or as a whole where the file does not allow less; at most `max_bytes` of pixels.
///
/// Which files are decoded in part depends on their bytes alone, and only those whose lower part cannot fail
/// are. EXIF orientation is not applied.
///
/// The error is the reason in words.
pub(crate) fn decode_jpeg(
    mut bytes: Vec<u8>,
    header: &JpegHeader,
    max_bytes: u64,
    rows_needed: &dyn Fn(u32, u32) -> u32,
) -> Result<RgbImage8, String> {
    check_scans(&bytes, header)?;
    if !header.suits_fast_decoder() {
        let components = general::decode_components(&bytes, header, max_bytes)?;
        let pixels = general::to_rgb(&components, header);
        return Ok(RgbImage8 { width: components.width, height: components.height, pixels });
    }
    if let Some(frame) = Frame::of_single_scan(&bytes) {
        let (width, height) = (u32::from(frame.width), u32::from(frame.height));
        let margin = CHROMA_MARGIN * u32::from(frame.vertical_sampling);
        let rows = rows_needed(width, height).max(1).saturating_add(margin);
        if rows < height {
            frame.write_height(&mut bytes, rows as u16);
        }
    }
    let components = decode_fast(&bytes, max_bytes, Output::Shown)?;
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
/// The error is the reason in words.
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

/// The frame header of a baseline JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    width: u16,
    height: u16,
    /// Where the height stands in the file.
    height_position: usize,
    /// Rows of pixels that a row of chroma covers, at most.
    vertical_sampling: u8,
}

impl Frame {
    /// The frame of a file whose decoding can stop anywhere: all its components come in one scan, block by
    /// block in the order of the image, and no marker within or after the codes could make a decoder fail
    /// later.
    fn of_single_scan(bytes: &[u8]) -> Option<Self> {
        let mut frame: Option<(Self, u8)> = None;
        let mut position = 2;
        loop {
            let [0xFF, marker, high, low] = *bytes.get(position..)?.first_chunk::<4>()? else { return None };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let payload = bytes.get(position + 4..position + 2 + length)?;
            match marker {
                0xC0 | 0xC1 if frame.is_none() => frame = Some(Self::parse(payload, position + 4)?),
                0xC4 | 0xDB..=0xDD | 0xE0..=0xEF | 0xFE => {}
                0xDA => {
                    let (frame, num_components) = frame?;
                    let codes = &bytes[position + 2 + length..];
                    return (*payload.first()? == num_components && ends_without_markers(codes))
                        .then_some(frame);
                }
                _ => return None,
            }
            position += 2 + length;
        }
    }

    /// The frame and the number of its components.
    fn parse(payload: &[u8], position: usize) -> Option<(Self, u8)> {
        let [8, height_high, height_low, width_high, width_low, num_components] =
            *payload.first_chunk::<6>()?
        else {
            return None;
        };
        // Of each component: identifier, sampling factors, number of its quantisation table.
        let (components, _) = payload[6..].as_chunks::<3>();
        let vertical_sampling = components.iter().map(|component| component[1] & 0x0F).max()?;
        let frame = Self {
            width: u16::from_be_bytes([width_high, width_low]),
            height: u16::from_be_bytes([height_high, height_low]),
            height_position: position + 1,
            vertical_sampling,
        };
        let sound = components.len() == usize::from(num_components) && (1..=2).contains(&vertical_sampling);
        sound.then_some((frame, num_components))
    }

    fn write_height(&self, bytes: &mut [u8], height: u16) {
        bytes[self.height_position..self.height_position + 2].copy_from_slice(&height.to_be_bytes());
    }
}

/// Whether the codes end with the end of the image and hold restart markers at most.
fn ends_without_markers(codes: &[u8]) -> bool {
    for position in memchr::memchr_iter(0xFF, codes) {
        match codes.get(position + 1) {
            // An escaped code byte, a restart marker, or padding.
            Some(0x00 | 0xD0..=0xD7 | 0xFF) => {}
            other => return other == Some(&0xD9),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;

    const WIDTH: u16 = 45;
    const HEIGHT: u16 = 83;
    const NO_LIMIT: u64 = 1 << 30;

    /// Noise over a gradient, encoded as `set_up` asks for.
    fn encode(color: ColorType, set_up: impl Fn(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let num_channels = if color == ColorType::Luma { 1 } else { 3 };
        let num_values = usize::from(WIDTH) * usize::from(HEIGHT) * num_channels;
        let values: Vec<u8> = (0..num_values).map(|index| (index / 60 + index * index % 97) as u8).collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        set_up(&mut encoder);
        encoder.encode(&values, WIDTH, HEIGHT, color).unwrap();
        bytes
    }

    fn try_decode(bytes: &[u8], max_bytes: u64, rows: u32) -> Result<RgbImage8, String> {
        let header = JpegHeader::read(&mut Cursor::new(bytes))?;
        decode_jpeg(bytes.to_vec(), &header, max_bytes, &|width, height| {
            assert_eq!((width, height), (WIDTH.into(), HEIGHT.into()));
            rows
        })
    }

    fn decode(bytes: &[u8], rows: u32) -> RgbImage8 {
        try_decode(bytes, NO_LIMIT, rows).unwrap()
    }

    /// Checks for every number of rows that those decoded are the first rows of the whole; how many pixels
    /// were left out.
    fn check_all_heights(bytes: &[u8], name: &str) -> usize {
        let whole = decode(bytes, HEIGHT.into());
        assert_eq!((whole.width, whole.height), (WIDTH.into(), HEIGHT.into()), "{name}");
        let row_bytes = usize::from(WIDTH) * 3;
        let mut left_out = 0;
        for rows in 0..=u32::from(HEIGHT) {
            let image = decode(bytes, rows);
            assert_eq!(image.width, u32::from(WIDTH), "{name}");
            assert!(image.height >= rows && image.height <= HEIGHT.into(), "{name}");
            assert_eq!(image.pixels.len(), image.height as usize * row_bytes, "{name}");
            let needed = rows as usize * row_bytes;
            assert!(image.pixels[..needed] == whole.pixels[..needed], "{name}: {rows} rows");
            left_out += whole.pixels.len() - image.pixels.len();
        }
        left_out
    }

    #[test]
    fn upper_rows_are_those_of_the_whole() {
        let samplings =
            [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_1_2, SamplingFactor::F_2_2];
        for sampling in samplings {
            for restarts in [0, 3] {
                let bytes = encode(ColorType::Rgb, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_restart_interval(restarts);
                });
                let name = format!("{sampling:?}, restarts {restarts}");
                assert!(check_all_heights(&bytes, &name) > 0, "{name}: never decoded in part");
            }
        }
        let grey = encode(ColorType::Luma, |_| ());
        assert!(check_all_heights(&grey, "grey") > 0);
    }

    #[test]
    fn what_cannot_be_cut_is_decoded_as_a_whole() {
        let progressive = encode(ColorType::Rgb, |encoder| encoder.set_progressive(true));
        // The encoder writes each channel in its own scan.
        let scans = encode(ColorType::Rgb, |encoder| encoder.set_sampling_factor(SamplingFactor::F_4_1));
        let sound = encode(ColorType::Rgb, |_| ());
        let mut cut_short = sound.clone();
        cut_short.truncate(sound.len() - 2);
        // A table where there must be codes: what follows may make the decoder fail.
        let mut damaged = sound.clone();
        let place = sound.len() - 40;
        damaged[place..place + 2].copy_from_slice(&[0xFF, 0xC4]);
        for (name, bytes) in [
            ("progressive", progressive),
            ("several scans", scans),
            ("cut short", cut_short),
            ("damaged", damaged),
        ] {
            assert_eq!(Frame::of_single_scan(&bytes), None, "{name}");
            if let Ok(image) = try_decode(&bytes, NO_LIMIT, 8) {
                assert_eq!(image.height, u32::from(HEIGHT), "{name}");
            }
        }
        assert!(Frame::of_single_scan(&sound).is_some());
    }

    #[test]
    fn bits_flipped_below_change_nothing_above() {
        let sound = encode(ColorType::Rgb, |encoder| encoder.set_sampling_factor(SamplingFactor::F_2_2));
        let mut num_cut = 0;
        for place in (sound.len() / 2..sound.len() - 2).step_by(7) {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x5A;
            let Ok(whole) = try_decode(&bytes, NO_LIMIT, HEIGHT.into()) else {
                assert_eq!(Frame::of_single_scan(&bytes), None, "a file that fails was thought to be sound");
                continue;
            };
            let upper = decode(&bytes, 20);
            num_cut += usize::from(upper.height < whole.height);
            let needed = 20 * usize::from(WIDTH) * 3;
            assert!(upper.pixels[..needed] == whole.pixels[..needed], "byte {place}");
        }
        assert!(num_cut > 0);
    }

    #[test]
    fn scans_are_counted_up_to_the_end_of_the_image() {
        let scans = encode(ColorType::Rgb, |encoder| encoder.set_sampling_factor(SamplingFactor::F_4_1));
        assert_eq!(count_scans(&scans), 3);
        // Another image behind this one, and the marker within a comment.
        let more = [&scans[..2], b"\xFF\xFE\0\x06\xFF\xDA\xFF\xD9", &scans[2..], &scans].concat();
        assert_eq!(count_scans(&more), 3);
        assert_eq!(count_scans(b""), 0);
        assert_eq!(count_scans(b"\xFF\xDA\xFF"), 1);
    }

    #[test]
    fn more_pixels_than_allowed_are_refused() {
        let bytes = encode(ColorType::Rgb, |_| ());
        let reason = try_decode(&bytes, 1000, HEIGHT.into()).unwrap_err();
        assert!(reason.contains("too many"), "{reason}");
    }
}
