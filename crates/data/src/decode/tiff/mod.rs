//! TIFF files, classic and BigTIFF: the first image of the file.
//!
//! Read are grey, RGB, palette, CMYK and YCbCr of 1 to 16 bits a sample (YCbCr of 8), and grey and RGB in
//! floating point of 32 and 64 bits; in strips or tiles, with samples side by side or in planes, in either
//! byte order and fill order, uncompressed or compressed by PackBits, LZW, Deflate, JPEG or CCITT group 4,
//! with predictors. Everything else is refused with the reason. The pixels are those of Pillow, except that
//! more than 8 bits are scaled to the range that 8 bits have: Pillow cuts off what is above 255.

mod chunks;
pub(crate) mod directory;
pub(crate) mod layout;
mod pixels;

use std::io::{Read, Seek};

use crate::decode::rgb_image::RgbImage8;
use chunks::ChunkReader;
use layout::Layout;
use pixels::RowConverter;

/// Decodes the image that `layout` was read from, with at most `max_bytes` for one strip or tile.
///
/// The error is the reason.
pub(crate) fn decode_tiff(
    reader: &mut (impl Read + Seek),
    layout: &Layout,
    max_bytes: u64,
) -> Result<RgbImage8, String> {
    if layout.chunk_bytes().is_none_or(|num_bytes| num_bytes > max_bytes) {
        return Err("its strips or tiles are too large for its size in pixels".into());
    }
    let chunks = ChunkReader::new(reader, layout)?;
    let converter = RowConverter::new(reader, layout)?;
    let (width, height) = (layout.width as usize, layout.height as usize);
    let (chunk_width, chunk_height) = (layout.chunk_width as usize, layout.chunk_height as usize);
    let mut pixels = vec![0; width * height * 3];
    for top in (0..height).step_by(chunk_height) {
        let num_rows = chunk_height.min(height - top);
        for left in (0..width).step_by(chunk_width) {
            let number = top / chunk_height * layout.chunks_across() + left / chunk_width;
            let mut planes = Vec::with_capacity(layout.num_planes());
            for plane in 0..layout.num_planes() {
                let number = plane * layout.chunks_per_plane() + number;
                planes.push(chunks.read(reader, number, num_rows as u32, max_bytes)?);
            }
            let num_columns = chunk_width.min(width - left);
            for row in 0..num_rows {
                let start = ((top + row) * width + left) * 3;
                converter.convert(&planes, row, &mut pixels[start..start + num_columns * 3])?;
            }
        }
    }
    Ok(RgbImage8 { width: layout.width, height: layout.height, pixels })
}
