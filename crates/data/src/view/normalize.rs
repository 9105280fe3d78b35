//! From bytes to the values a network computes with.

use pulp::{Arch, NullaryFnOnce};

/// Statistics that pixels are normalised with, one for each of red, green and blue, for values in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Subtracted from each value.
    pub mean: [f32; 3],
    /// Divisor of the difference; greater than 0.
    pub std: [f32; 3],
}

impl Default for Normalization {
    /// The statistics of ImageNet, as in the original code.
    fn default() -> Self {
        Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

impl Normalization {
    /// Factors and then summands for bytes of red, green and blue, equal to `(byte / 255 - mean) / std`.
    pub fn of_bytes(&self) -> ([f32; 3], [f32; 3]) {
        let Self { mean, std } = self;
        (std.map(|std| 1.0 / (255.0 * std)), std::array::from_fn(|channel| -mean[channel] / std[channel]))
    }
}

/// Appends `[height, width, 3]` bytes to `out` as `[3, height, width]` normalised values, mirrored if `flip`
/// is set.
pub(crate) fn append_normalized(
    pixels: &[u8],
    width: u32,
    flip: bool,
    normalization: Normalization,
    out: &mut Vec<f32>,
) {
    let (factors, offsets) = normalization.of_bytes();
    let (pixels, _) = pixels.as_chunks::<3>();
    let start = out.len();
    out.resize(start + pixels.len() * 3, 0.0);
    let planes = Planes { pixels, width: width as usize, flip, factors, offsets, out: &mut out[start..] };
    Arch::new().dispatch(planes);
}

/// The work of [`append_normalized`], compiled for the vectors of the processor.
struct Planes<'a> {
    pixels: &'a [[u8; 3]],
    width: usize,
    flip: bool,
    factors: [f32; 3],
    offsets: [f32; 3],
    out: &'a mut [f32],
}

impl NullaryFnOnce for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { pixels, width, flip, factors, offsets, out } = self;
        let normalized =
            |pixel: &[u8; 3], channel: usize| f32::from(pixel[channel]) * factors[channel] + offsets[channel];
        let (red, rest) = out.split_at_mut(pixels.len());
        let (green, blue) = rest.split_at_mut(pixels.len());
        let planes = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width));
        let planes = planes.zip(blue.chunks_exact_mut(width));
        for (pixels, ((red, green), blue)) in pixels.chunks_exact(width).zip(planes) {
            let values = red.iter_mut().zip(green).zip(blue);
            if flip {
                for (pixel, ((red, green), blue)) in pixels.iter().rev().zip(values) {
                    (*red, *green, *blue) =
                        (normalized(pixel, 0), normalized(pixel, 1), normalized(pixel, 2));
                }
            } else {
                for (pixel, ((red, green), blue)) in pixels.iter().zip(values) {
                    (*red, *green, *blue) =
                        (normalized(pixel, 0), normalized(pixel, 1), normalized(pixel, 2));
                }
            }
        }
    }
}
