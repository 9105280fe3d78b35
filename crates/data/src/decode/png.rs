//! PNG files, row by row, so that a file which ends behind its last row is read.

use std::io::{BufRead, Seek};

use png::{BitDepth, ColorType, Decoder, InterlaceInfo, Limits, Transformations};

use crate::decode::color::to_eight_bits;
use crate::decode::rgb_image::RgbImage8;

/// Decodes the file that starts at the reader's position, with at most `max_bytes` of tables.
///
/// The error is the reason.
pub(crate) fn decode_png(reader: impl BufRead + Seek, max_bytes: u64) -> Result<RgbImage8, String> {
    let in_words = |error: png::DecodingError| format!("Format error decoding Png: {error}");
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new_with_limits(reader, Limits { bytes: max_bytes });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes and fewer than 8 bits become 8 bits.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(in_words)?;
    let (width, height) = reader.info().size();
    let frame = reader.info().frame_control.map(|frame| (frame.width, frame.height));
    if frame.is_some_and(|size| size != (width, height)) {
        return Err("the first frame of the animated PNG does not fill it".into());
    }
    let (color, depth) = reader.output_color_type();
    let kind = RowKind { num_samples: color.samples(), is_deep: depth == BitDepth::Sixteen };
    if color == ColorType::Indexed || !matches!(depth, BitDepth::Eight | BitDepth::Sixteen) {
        return Err("the PNG's palette is damaged".into());
    }
    let row_bytes = width as usize * 3;
    let mut pixels = vec![0; row_bytes * height as usize];
    if reader.info().interlaced {
        for _ in 0..num_interlaced_rows(width, height) {
            let row = reader.next_interlaced_row().map_err(in_words)?.ok_or("the PNG's rows are damaged")?;
            let InterlaceInfo::Adam7(place) = row.interlace() else { break };
            let mut rgb = vec![0; row.data().len() / kind.pixel_bytes() * 3];
            kind.to_rgb(row.data(), &mut rgb);
            png::expand_interlaced_row(&mut pixels, row_bytes, &rgb, place, 24);
        }
    } else if kind == (RowKind { num_samples: 3, is_deep: false }) {
        for rgb in pixels.chunks_exact_mut(row_bytes) {
            reader.read_row(rgb).map_err(in_words)?;
        }
    } else {
        let mut row = vec![0; width as usize * kind.pixel_bytes()];
        for rgb in pixels.chunks_exact_mut(row_bytes) {
            reader.read_row(&mut row).map_err(in_words)?;
            kind.to_rgb(&row, rgb);
        }
    }
    Ok(RgbImage8 { width, height, pixels })
}

/// Rows of the seven passes of an interlaced image. Asking for one more would look for what follows the
/// pixels.
fn num_interlaced_rows(width: u32, height: u32) -> u32 {
    // First column, first row, and distance of rows.
    const PASSES: [(u32, u32, u32); 7] =
        [(0, 0, 8), (4, 0, 8), (0, 4, 8), (2, 0, 4), (0, 2, 4), (1, 0, 2), (0, 1, 2)];
    let rows = |(_, top, distance): (u32, u32, u32)| height.saturating_sub(top).div_ceil(distance);
    PASSES.into_iter().filter(|pass| width > pass.0).map(rows).sum()
}

/// Samples of a row: grey or RGB, perhaps with alpha, of 8 or 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RowKind {
    num_samples: usize,
    is_deep: bool,
}

impl RowKind {
    fn pixel_bytes(self) -> usize {
        if self.is_deep { 2 * self.num_samples } else { self.num_samples }
    }

    /// Repeats grey and drops alpha.
    fn to_rgb(self, row: &[u8], rgb: &mut [u8]) {
        let Self { num_samples, is_deep } = self;
        let (green, blue) = if num_samples < 3 { (0, 0) } else { (1, 2) };
        let (pixels, _) = rgb.as_chunks_mut::<3>();
        for (rgb, pixel) in pixels.iter_mut().zip(row.chunks_exact(self.pixel_bytes())) {
            *rgb = if is_deep {
                [0, green, blue].map(|sample| {
                    to_eight_bits(u16::from_be_bytes([pixel[2 * sample], pixel[2 * sample + 1]]), u16::MAX)
                })
            } else {
                [pixel[0], pixel[green], pixel[blue]]
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_an_interlaced_image_are_counted() {
        assert_eq!(num_interlaced_rows(1, 1), 1);
        // 1 + 1 + 1 + 2 + 2 + 4 + 4
        assert_eq!(num_interlaced_rows(8, 8), 15);
        // Of three columns the second pass, which begins at the fifth, has none.
        assert_eq!(num_interlaced_rows(3, 8), 14);
    }
}
