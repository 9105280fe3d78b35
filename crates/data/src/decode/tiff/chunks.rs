//! Strips and tiles of a TIFF, decompressed.

use std::io::{Read, Seek, SeekFrom};

use fax::decoder::{DecodeStatus, Group4Decoder};
use weezl::BitOrder;

use crate::decode::jpeg::decode_components;
use crate::decode::tiff::directory::ByteOrder;
use crate::decode::tiff::layout::{Compression, Layout, Predictor, tag};

/// Reads strips or tiles one by one.
#[derive(Debug)]
pub(super) struct ChunkReader<'a> {
    layout: &'a Layout,
    offsets: Vec<u64>,
    byte_counts: Vec<u64>,
    jpeg_tables: Vec<u8>,
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(reader: &mut (impl Read + Seek), layout: &'a Layout) -> Result<Self, String> {
        let directory = &layout.directory;
        let (offsets, byte_counts) = if layout.is_tiled {
            (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
        } else {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
        };
        let offsets = directory.integers(reader, offsets)?.unwrap_or_default();
        let byte_counts = directory.integers(reader, byte_counts)?.unwrap_or_default();
        if offsets.len() < layout.chunks_per_plane().saturating_mul(layout.num_planes()) {
            return Err("the TIFF does not say where all of its strips or tiles are".into());
        }
        let jpeg_tables = match layout.compression {
            Compression::Jpeg => directory.bytes(reader, tag::JPEG_TABLES)?.unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Self { layout, offsets, byte_counts, jpeg_tables })
    }

    /// The first `num_rows` rows of a strip or tile, numbers in the byte order of the file.
    pub(super) fn read(
        &self,
        reader: &mut (impl Read + Seek),
        number: usize,
        num_rows: u32,
        max_bytes: u64,
    ) -> Result<Vec<u8>, String> {
        let layout = self.layout;
        let num_bytes = layout.bytes_of_rows(num_rows).unwrap_or(u64::MAX);
        // Counts are wrong in many uncompressed files and not needed there.
        let num_stored = match layout.compression {
            Compression::None => num_bytes,
            _ => self.byte_counts.get(number).copied().unwrap_or(u64::MAX).min(max_bytes),
        };
        let ends_early = |_| String::from("the TIFF ends before its pixels do");
        reader.seek(SeekFrom::Start(self.offsets[number])).map_err(ends_early)?;
        let mut stored = Vec::new();
        reader.take(num_stored).read_to_end(&mut stored).map_err(|error| error.to_string())?;
        if layout.is_fill_reversed && layout.compression != Compression::Jpeg {
            stored.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let num_bytes = num_bytes as usize;
        let mut bytes = match layout.compression {
            Compression::None => stored,
            Compression::PackBits => unpack_bits(&stored, num_bytes),
            Compression::Lzw => unpack_lzw(&stored, num_bytes),
            Compression::Deflate => inflate(&stored, num_bytes),
            Compression::CcittGroup4 => unpack_group4(&stored, layout.chunk_width, num_rows)?,
            Compression::Jpeg => self.unpack_jpeg(&stored, num_rows, max_bytes)?,
        };
        if bytes.len() < num_bytes {
            return Err("the TIFF ends before its pixels do".into());
        }
        bytes.truncate(num_bytes);
        let row_bytes = layout.row_bytes().unwrap_or(1).max(1) as usize;
        if layout.predictor != Predictor::None {
            bytes.chunks_exact_mut(row_bytes).for_each(|row| undo_prediction(row, layout));
        }
        Ok(bytes)
    }

    fn unpack_jpeg(&self, stored: &[u8], num_rows: u32, max_bytes: u64) -> Result<Vec<u8>, String> {
        let layout = self.layout;
        // Tables are a file of their own: the end of its image and the beginning of this one are left out.
        let bytes = match (self.jpeg_tables.strip_suffix(b"\xFF\xD9"), stored.strip_prefix(b"\xFF\xD8")) {
            (Some(tables), Some(stored)) => [tables, stored].concat(),
            _ => stored.to_vec(),
        };
        let image = decode_components(&bytes, max_bytes)?;
        let has_right_size = image.num_components == layout.samples_per_plane()
            && image.width == layout.chunk_width
            && image.height >= num_rows;
        if has_right_size {
            Ok(image.samples)
        } else {
            Err("a JPEG within the TIFF is of another size or number of colours".into())
        }
    }
}

fn unpack_bits(mut stored: &[u8], num_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < num_bytes {
        let [control, rest @ ..] = stored else { break };
        stored = rest;
        match *control as i8 {
            -128 => {}
            repeats @ -127..=-1 => {
                let [byte, rest @ ..] = stored else { break };
                bytes.resize(bytes.len() + 1 + usize::from(repeats.unsigned_abs()), *byte);
                stored = rest;
            }
            last => {
                let (literal, rest) = stored.split_at(stored.len().min(usize::from(last.unsigned_abs()) + 1));
                bytes.extend_from_slice(literal);
                stored = rest;
            }
        }
    }
    bytes
}

fn unpack_lzw(mut stored: &[u8], num_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; num_bytes];
    let mut num_written = 0;
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    while num_written < num_bytes {
        let result = decoder.decode_bytes(stored, &mut bytes[num_written..]);
        num_written += result.consumed_out;
        stored = &stored[result.consumed_in..];
        if result.status.is_err() || (result.consumed_in, result.consumed_out) == (0, 0) {
            break;
        }
    }
    bytes.truncate(num_written);
    bytes
}

/// The first `num_bytes` decompressed; sums at the end of the stream are not looked at.
fn inflate(stored: &[u8], num_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An error ends the stream and leaves what came before it.
    let _ = flate2::read::ZlibDecoder::new(stored).take(num_bytes as u64).read_to_end(&mut bytes);
    bytes
}

fn unpack_group4(stored: &[u8], width: u32, num_rows: u32) -> Result<Vec<u8>, String> {
    let width =
        u16::try_from(width).map_err(|_| "CCITT images of more than 65535 columns are not supported")?;
    let damaged = || String::from("the CCITT data of the TIFF is damaged");
    let mut decoder = Group4Decoder::new(stored.iter().copied().map(Ok::<u8, std::io::Error>), width)
        .map_err(|_| damaged())?;
    let row_bytes = usize::from(width).div_ceil(8);
    let mut bytes = Vec::new();
    for _ in 0..num_rows {
        if decoder.advance().map_err(|_| damaged())? == DecodeStatus::End {
            break;
        }
        let start = bytes.len();
        bytes.resize(start + row_bytes, 0);
        for (column, color) in fax::decoder::pels(decoder.transition(), width).enumerate() {
            bytes[start + column / 8] |= u8::from(color == fax::Color::Black) << (7 - column % 8);
        }
    }
    Ok(bytes)
}

/// Turns the differences of a row into samples.
fn undo_prediction(row: &mut [u8], layout: &Layout) {
    let distance = layout.samples_per_plane();
    let num_bytes = layout.bits as usize / 8;
    match (layout.predictor, num_bytes) {
        (Predictor::Horizontal, 1) => {
            for index in distance..row.len() {
                row[index] = row[index].wrapping_add(row[index - distance]);
            }
        }
        (Predictor::Horizontal, _) => {
            let is_little = layout.byte_order() == ByteOrder::Little;
            let (samples, _) = row.as_chunks_mut::<2>();
            for index in distance..samples.len() {
                let (sample, left) = (samples[index], samples[index - distance]);
                samples[index] = if is_little {
                    u16::from_le_bytes(sample).wrapping_add(u16::from_le_bytes(left)).to_le_bytes()
                } else {
                    u16::from_be_bytes(sample).wrapping_add(u16::from_be_bytes(left)).to_be_bytes()
                };
            }
        }
        (Predictor::FloatingPoint, _) => {
            for index in distance..row.len() {
                row[index] = row[index].wrapping_add(row[index - distance]);
            }
            // The highest bytes of all samples come first, whatever the byte order of the file.
            let planes = row.to_vec();
            let num_samples = row.len() / num_bytes;
            for (index, sample) in row.chunks_exact_mut(num_bytes).enumerate() {
                for (byte, target) in sample.iter_mut().enumerate() {
                    let plane = match layout.byte_order() {
                        ByteOrder::Big => byte,
                        ByteOrder::Little => num_bytes - 1 - byte,
                    };
                    *target = planes[plane * num_samples + index];
                }
            }
        }
        (Predictor::None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_literals_are_unpacked() {
        // The example of the TIFF specification, section 9.
        let packed = b"\xFE\xAA\x02\x80\x00\x2A\xFD\xAA\x03\x80\x00\x2A\x22\xF7\xAA";
        let expected = [
            0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0xAA, 0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0x22, 0xAA, 0xAA,
            0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
        ];
        assert_eq!(unpack_bits(packed, 24), expected);
        assert_eq!(unpack_bits(b"\x80\x80\x05\x01", 24), [1]);
        assert_eq!(unpack_bits(b"\xFE", 24), []);
    }
}
