//! Samples of a TIFF as 8-bit RGB.

use std::io::{Read, Seek};

use crate::decode::color::{cmyk_to_rgb, to_eight_bits};
use crate::decode::tiff::directory::ByteOrder;
use crate::decode::tiff::layout::{Layout, Photometric, tag};

/// How far floating-point grey may lie outside 0 to 1, as by resampling.
const FLOAT_OVERSHOOT: f64 = 0.5;

/// Turns rows of samples into RGB.
#[derive(Debug)]
pub(super) struct RowConverter<'a> {
    layout: &'a Layout,
    palette: Vec<[u8; 3]>,
    ycbcr: Option<YCbCr>,
}

impl<'a> RowConverter<'a> {
    pub(super) fn new(reader: &mut (impl Read + Seek), layout: &'a Layout) -> Result<Self, String> {
        let palette = match layout.photometric {
            Photometric::Palette => read_palette(reader, layout)?,
            _ => Vec::new(),
        };
        let ycbcr = match layout.photometric {
            Photometric::YCbCr => Some(YCbCr::read(reader, layout)?),
            _ => None,
        };
        Ok(Self { layout, palette, ycbcr })
    }

    /// Writes the first pixels of one row of a strip or tile, whose planes are given, as many as `rgb` holds.
    pub(super) fn convert(&self, planes: &[Vec<u8>], row: usize, rgb: &mut [u8]) -> Result<(), String> {
        let layout = self.layout;
        let (pixels, _) = rgb.as_chunks_mut::<3>();
        if let (Some(ycbcr), true) = (&self.ycbcr, layout.subsampling != (1, 1)) {
            self.convert_subsampled(ycbcr, &planes[0], row, pixels);
            return Ok(());
        }
        let row_bytes = layout.row_bytes().unwrap_or(0) as usize;
        let rows: Vec<&[u8]> =
            planes.iter().map(|plane| &plane[row * row_bytes..(row + 1) * row_bytes]).collect();
        if layout.is_float {
            return self.convert_floats(&rows, pixels);
        }
        let num_samples = layout.num_samples;
        let mut samples = vec![0; pixels.len() * num_samples];
        let (bits, byte_order) = (layout.bits, layout.byte_order());
        if let [row] = rows[..] {
            unpack(row, bits, byte_order, samples.iter_mut());
        } else {
            for (index, row) in rows.iter().enumerate() {
                unpack(row, bits, byte_order, samples.iter_mut().skip(index).step_by(num_samples));
            }
        }
        self.convert_integers(&mut samples, pixels);
        Ok(())
    }

    fn convert_integers(&self, samples: &mut [u16], pixels: &mut [[u8; 3]]) {
        let layout = self.layout;
        let num_samples = layout.num_samples;
        let greatest = ((1_u32 << layout.bits) - 1) as u16;
        if let Some(alpha) = layout.associated_alpha {
            for pixel in samples.chunks_exact_mut(num_samples) {
                let alpha_value = u32::from(pixel[alpha]);
                for sample in &mut pixel[..alpha] {
                    let full = u32::from(*sample) * u32::from(greatest);
                    *sample = full.checked_div(alpha_value).unwrap_or(0).min(greatest.into()) as u16;
                }
            }
        }
        let eight = |sample: u16| to_eight_bits(sample, greatest);
        for (pixel, samples) in pixels.iter_mut().zip(samples.chunks_exact(num_samples)) {
            *pixel = match (layout.photometric, samples) {
                (Photometric::WhiteIsZero, [grey, ..]) => [eight(greatest - grey); 3],
                (Photometric::BlackIsZero, [grey, ..]) => [eight(*grey); 3],
                (Photometric::Palette, [index, ..]) => {
                    self.palette.get(usize::from(*index)).copied().unwrap_or_default()
                }
                (Photometric::Rgb, [red, green, blue, ..]) => [eight(*red), eight(*green), eight(*blue)],
                (Photometric::Cmyk, [cyan, magenta, yellow, black, ..]) => {
                    cmyk_to_rgb([eight(*cyan), eight(*magenta), eight(*yellow), eight(*black)])
                }
                (Photometric::YCbCr, [luma, blue, red, ..]) => match &self.ycbcr {
                    Some(ycbcr) => ycbcr.to_rgb(eight(*luma), eight(*blue), eight(*red)),
                    None => *pixel,
                },
                _ => *pixel,
            };
        }
    }

    fn convert_floats(&self, rows: &[&[u8]], pixels: &mut [[u8; 3]]) -> Result<(), String> {
        let layout = self.layout;
        let num_bytes = layout.bits as usize / 8;
        let is_rgb = layout.photometric == Photometric::Rgb;
        let value = |pixel: usize, sample: usize| {
            let (row, index) = match rows {
                [row] => (row, pixel * layout.num_samples + sample),
                _ => (&rows[sample], pixel),
            };
            let bits = layout.byte_order().number(&row[index * num_bytes..(index + 1) * num_bytes]);
            if num_bytes == 4 { f32::from_bits(bits as u32).into() } else { f64::from_bits(bits) }
        };
        let to_u8 = |value: f64| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        for (index, pixel) in pixels.iter_mut().enumerate() {
            if is_rgb {
                *pixel = [0, 1, 2].map(|sample| to_u8(value(index, sample)));
                continue;
            }
            let grey = value(index, 0);
            if !(-FLOAT_OVERSHOOT..=1.0 + FLOAT_OVERSHOOT).contains(&grey) && !grey.is_nan() {
                return Err(format!("its floating-point grey of {grey} lies outside 0 to 1"));
            }
            let is_white_zero = layout.photometric == Photometric::WhiteIsZero;
            *pixel = [to_u8(if is_white_zero { 1.0 - grey } else { grey }); 3];
        }
        Ok(())
    }

    fn convert_subsampled(&self, ycbcr: &YCbCr, chunk: &[u8], row: usize, pixels: &mut [[u8; 3]]) {
        let (horizontal, vertical) = (self.layout.subsampling.0 as usize, self.layout.subsampling.1 as usize);
        let block_bytes = horizontal * vertical + 2;
        let row_bytes = self.layout.row_bytes().unwrap_or(0) as usize;
        let blocks = &chunk[row / vertical * row_bytes..];
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let block = &blocks[column / horizontal * block_bytes..][..block_bytes];
            let luma = block[row % vertical * horizontal + column % horizontal];
            *pixel = ycbcr.to_rgb(luma, block[block_bytes - 2], block[block_bytes - 1]);
        }
    }
}

/// Samples of `bits` each, side by side from the highest bit of the first byte on, until `samples` ends.
fn unpack<'s>(row: &[u8], bits: u32, byte_order: ByteOrder, samples: impl Iterator<Item = &'s mut u16>) {
    match bits {
        8 => samples.zip(row).for_each(|(sample, byte)| *sample = u16::from(*byte)),
        16 => {
            let number =
                if byte_order == ByteOrder::Little { u16::from_le_bytes } else { u16::from_be_bytes };
            samples.zip(row.as_chunks::<2>().0).for_each(|(sample, bytes)| *sample = number(*bytes));
        }
        _ => {
            let (mut held, mut num_held, mut bytes) = (0_u32, 0, row.iter());
            for sample in samples {
                while num_held < bits {
                    held = held << 8 | u32::from(bytes.next().copied().unwrap_or(0));
                    num_held += 8;
                }
                num_held -= bits;
                *sample = (held >> num_held) as u16;
                held &= (1 << num_held) - 1;
            }
        }
    }
}

/// The colour map: all reds, all greens, all blues, of 16 bits, whose upper 8 are taken as by Pillow.
fn read_palette(reader: &mut (impl Read + Seek), layout: &Layout) -> Result<Vec<[u8; 3]>, String> {
    let map = layout.directory.integers(reader, tag::COLOR_MAP)?.unwrap_or_default();
    let num_colors = 1_usize << layout.bits;
    if map.len() < 3 * num_colors {
        return Err("the TIFF has no colour map for its palette".into());
    }
    let color = |index: usize| [0, 1, 2].map(|channel| (map[channel * num_colors + index] >> 8) as u8);
    Ok((0..num_colors).map(color).collect())
}

/// The conversion of YCbCr to RGB, as the file defines it.
#[derive(Debug)]
struct YCbCr {
    /// Shares of red, green and blue in luma.
    shares: [f64; 3],
    /// The codes of black and white of luma, and of nothing and most of each chroma.
    reference: [f64; 6],
}

impl YCbCr {
    fn read(reader: &mut (impl Read + Seek), layout: &Layout) -> Result<Self, String> {
        let directory = &layout.directory;
        let fractions = directory.fractions(reader, tag::YCBCR_COEFFICIENTS)?;
        let shares =
            fractions.and_then(|values| values.first_chunk().copied()).unwrap_or([0.299, 0.587, 0.114]);
        let fractions = directory.fractions(reader, tag::REFERENCE_BLACK_WHITE)?;
        let reference = fractions
            .and_then(|values| values.first_chunk().copied())
            .unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        let is_sound = shares.iter().chain(&reference).all(|value| value.is_finite())
            && shares[1] != 0.0
            && reference.chunks_exact(2).all(|pair| pair[0] != pair[1]);
        if is_sound {
            Ok(Self { shares, reference })
        } else {
            Err("the TIFF's definition of YCbCr is damaged".into())
        }
    }

    fn to_rgb(&self, luma: u8, blue: u8, red: u8) -> [u8; 3] {
        let [share_red, share_green, share_blue] = self.shares;
        let full = |code: u8, channel: usize, range: f64| {
            let (zero, most) = (self.reference[2 * channel], self.reference[2 * channel + 1]);
            (f64::from(code) - zero) * range / (most - zero)
        };
        let luma = full(luma, 0, 255.0);
        let red = luma + full(red, 2, 127.0) * (2.0 - 2.0 * share_red);
        let blue = luma + full(blue, 1, 127.0) * (2.0 - 2.0 * share_blue);
        let green = (luma - share_blue * blue - share_red * red) / share_green;
        [red, green, blue].map(|value| value.round().clamp(0.0, 255.0) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(row: &[u8], bits: u32, byte_order: ByteOrder, number: usize) -> Vec<u16> {
        let mut samples = vec![0; number];
        unpack(row, bits, byte_order, samples.iter_mut());
        samples
    }

    #[test]
    fn samples_of_any_depth_are_unpacked() {
        let row = [0b1011_0001, 0b1100_1010, 0xFF, 0x01];
        let little = ByteOrder::Little;
        assert_eq!(unpacked(&row, 1, little, 9), [1, 0, 1, 1, 0, 0, 0, 1, 1]);
        assert_eq!(unpacked(&row, 2, little, 5), [2, 3, 0, 1, 3]);
        assert_eq!(unpacked(&row, 4, little, 3), [11, 1, 12]);
        assert_eq!(unpacked(&row, 12, little, 2), [0xB1C, 0xAFF]);
        assert_eq!(unpacked(&row, 12, ByteOrder::Big, 2), [0xB1C, 0xAFF]);
        assert_eq!(unpacked(&row, 16, little, 2), [0xCAB1, 0x01FF]);
        assert_eq!(unpacked(&row, 16, ByteOrder::Big, 2), [0xB1CA, 0xFF01]);
    }
}
