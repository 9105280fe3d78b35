//! The format and size of an image, read from the first bytes of its file without decoding it.

use std::io::{BufRead, Read, Seek, SeekFrom};

use image::{ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::decode::decoder_guard::catch_decoder_panic;
use crate::decode::formats::READABLE_FORMATS;
use crate::decode::jpeg::header::jpeg_size;
use crate::decode::tiff::layout::Layout;

/// Most bytes a decoder may allocate while it reads a header.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// Format and size of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageHeader {
    pub(crate) format: ImageFormat,
    /// Width in pixels, before any EXIF rotation; at least 1.
    pub(crate) width: u32,
    /// Height in pixels, before any EXIF rotation; at least 1.
    pub(crate) height: u32,
}

impl ImageHeader {
    /// Reads the header of the image that starts at the reader's position 0; the reader is left anywhere.
    ///
    /// The error is the reason, for a list of skipped files.
    pub(crate) fn read(reader: &mut (impl BufRead + Seek)) -> Result<Self, String> {
        let format = detect_format(reader)?;
        reader.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        let (width, height) = match format {
            ImageFormat::Jpeg => jpeg_size(reader)?,
            ImageFormat::Tiff => Layout::read(reader).map(|layout| (layout.width, layout.height))?,
            _ => catch_decoder_panic(|| size_by_decoder(reader, format))?,
        };
        if width == 0 || height == 0 {
            return Err(format!("its size of {width} x {height} pixels is empty"));
        }
        Ok(Self { format, width, height })
    }

    /// `width * height`.
    pub(crate) fn num_pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

fn detect_format(reader: &mut (impl BufRead + Seek)) -> Result<ImageFormat, String> {
    let mut start = Vec::with_capacity(16);
    reader.take(16).read_to_end(&mut start).map_err(|error| error.to_string())?;
    if start.is_empty() {
        return Err("the file is empty".into());
    }
    // BigTIFF.
    if start.starts_with(b"II\x2B\0\x08\0\0\0") || start.starts_with(b"MM\0\x2B\0\x08\0\0") {
        return Ok(ImageFormat::Tiff);
    }
    match image::guess_format(&start) {
        Ok(
            format @ (ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::WebP
            | ImageFormat::Bmp
            | ImageFormat::Tiff
            | ImageFormat::Gif),
        ) => Ok(format),
        Ok(other) => Err(format!("it is a {other:?} file, not {READABLE_FORMATS}")),
        Err(_) => Err(format!("its content is not {READABLE_FORMATS}")),
    }
}

fn size_by_decoder(reader: &mut (impl BufRead + Seek), format: ImageFormat) -> Result<(u32, u32), String> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_HEADER_BYTES);
    let mut image_reader = ImageReader::with_format(reader, format);
    image_reader.limits(limits);
    image_reader.into_decoder().map(|decoder| decoder.dimensions()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// SOI, an APP0 of 4 payload bytes, SOF of 8 bits with height 0x0203 and width 0x0405.
    fn jpeg_start(frame_marker: u8, precision: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 6, 1, 2, 3, 4];
        bytes.extend([0xFF, 0xFF, frame_marker, 0, 17, precision, 2, 3, 4, 5, 3]);
        bytes
    }

    #[test]
    fn the_frame_header_of_a_jpeg_gives_its_size() {
        let header = ImageHeader::read(&mut Cursor::new(jpeg_start(0xC2, 8))).unwrap();
        // 0x0405 = 1029, 0x0203 = 515
        assert_eq!(header, ImageHeader { format: ImageFormat::Jpeg, width: 1029, height: 515 });
        assert_eq!(header.num_pixels(), 1029 * 515);
    }

    #[test]
    fn jpegs_that_cannot_be_decoded_are_refused_with_a_reason() {
        let reason = |bytes: Vec<u8>| ImageHeader::read(&mut Cursor::new(bytes)).unwrap_err();
        assert!(reason(jpeg_start(0xC0, 12)).contains("12 bits"));
        assert!(reason(jpeg_start(0xC9, 8)).contains("arithmetic-coded"));
        assert!(reason(jpeg_start(0xD9, 8)).contains("no frame header"));
        assert!(reason(jpeg_start(0xC0, 8)[..15].to_vec()).contains("ends before"));
        let mut zero_width = jpeg_start(0xC0, 8);
        let length = zero_width.len();
        zero_width[length - 3..length - 1].fill(0);
        assert!(reason(zero_width).contains("0 x 515"));
        let padding = [vec![0xFF, 0xD8, 0xFF], vec![0xFF; 1 << 17]].concat();
        assert!(reason(padding).contains("damaged"));
    }

    #[test]
    fn content_of_another_kind_is_refused_with_a_reason() {
        let reason = |bytes: &[u8]| ImageHeader::read(&mut Cursor::new(bytes)).unwrap_err();
        assert!(reason(b"").contains("empty"));
        assert!(reason(b"just some text").contains("JPEG, PNG"));
        assert!(reason(b"\0\0\x01\0\x01\0\x10\x10").contains("Ico"));
        assert!(!reason(b"\x89PNG\r\n\x1a\n\0\0").is_empty());
    }
}
