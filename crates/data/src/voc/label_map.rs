//! PNG files whose values are classes, not colours.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Transformations};

use crate::decode::DEFAULT_MAX_PIXELS;
use crate::decode::decoder_guard::catch_decoder_panic;
use crate::error::DataError;

/// Deflate cannot expand data more than this.
const MOST_EXPANSION: u64 = 1_032;

/// A class for every pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Rows from top to bottom, `[height, width]`.
    pub labels: Vec<u8>,
}

impl LabelMap {
    /// Reads a PNG of palette indices, as VOC has them, or of grey values; colours are not looked at.
    ///
    /// # Errors
    /// [`DataError::Io`] where it cannot be opened, [`DataError::Decode`] where it is not such a PNG or has
    /// too many pixels.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let io = |source| DataError::io("open", path, source);
        let broken = |reason| DataError::Decode { path: path.to_path_buf(), reason };
        let metadata = fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            return Err(broken("it is not a regular file".to_string()));
        }
        let file = File::open(path).map_err(io)?;
        catch_decoder_panic(|| decode(file, metadata.len())).map_err(broken)
    }
}

fn decode(file: File, num_file_bytes: u64) -> Result<LabelMap, String> {
    let mut decoder = Decoder::new(BufReader::new(file));
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let info = reader.info();
    let (width, height) = (info.width, info.height);
    let bits = match (info.color_type, info.bit_depth) {
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::Eight) => 8,
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::Four) => 4,
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::Two) => 2,
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::One) => 1,
        (color, depth) => {
            return Err(format!("a mask has palette or grey values of 8 bits, not {color:?} {depth:?}"));
        }
    };
    if u64::from(width) * u64::from(height) > DEFAULT_MAX_PIXELS {
        return Err(format!("{width} x {height} pixels are too many"));
    }
    let num_bytes = reader.output_buffer_size().ok_or("its size is out of range")?;
    if num_bytes as u64 > num_file_bytes.saturating_mul(MOST_EXPANSION) {
        return Err(format!("its {num_file_bytes} bytes cannot hold {width} x {height} pixels"));
    }
    let mut rows = vec![0; num_bytes];
    let frame = reader.next_frame(&mut rows).map_err(|error| error.to_string())?;
    let per_byte = 8 / bits;
    let unpack = |row: &[u8]| -> Vec<u8> {
        let values = row.iter().flat_map(|&byte| {
            (1..=per_byte).map(move |place| (byte >> (8 - place * bits)) & (255_u8 >> (8 - bits)))
        });
        values.take(width as usize).collect()
    };
    let labels = rows[..frame.buffer_size()].chunks_exact(frame.line_size).flat_map(unpack).collect();
    Ok(LabelMap { width, height, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(color: ColorType, depth: BitDepth, width: u32, rows: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut encoder = png::Encoder::new(file.reopen().unwrap(), width, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![7; 768]);
        }
        encoder.write_header().unwrap().write_image_data(rows).unwrap();
        file
    }

    #[test]
    fn values_are_those_of_the_file_whatever_the_palette() {
        let file = png(ColorType::Indexed, BitDepth::Eight, 2, &[0, 20, 255, 1]);
        let map = LabelMap::read(file.path()).unwrap();
        assert_eq!(map, LabelMap { width: 2, height: 2, labels: vec![0, 20, 255, 1] });
        let file = png(ColorType::Grayscale, BitDepth::Eight, 2, &[0, 11, 3, 1]);
        assert_eq!(LabelMap::read(file.path()).unwrap().labels, [0, 11, 3, 1]);
        // Two values to a byte, and a row that ends within one.
        let file = png(ColorType::Indexed, BitDepth::Four, 3, &[0x12, 0x30, 0xF0, 0x10]);
        assert_eq!(LabelMap::read(file.path()).unwrap().labels, [1, 2, 3, 15, 0, 1]);
        let file = png(ColorType::Grayscale, BitDepth::One, 3, &[0b1010_0000, 0b0110_0000]);
        assert_eq!(LabelMap::read(file.path()).unwrap().labels, [1, 0, 1, 0, 1, 1]);
    }

    #[test]
    fn pictures_and_broken_files_are_refused() {
        let file = png(ColorType::Rgb, BitDepth::Eight, 1, &[0; 6]);
        let error = LabelMap::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("palette or grey"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(LabelMap::read(file.path()), Err(DataError::Decode { .. })));
        assert!(matches!(LabelMap::read(Path::new("no/such.png")), Err(DataError::Io { .. })));
    }
}
