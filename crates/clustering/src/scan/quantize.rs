//! Rows in 8-bit integers with a bound of what that costs.
//!
//! A row `x` becomes `s q + r` with a scale `s`, integers `q` of at most 127 and a rest `r`. For two rows
//!
//! ```text
//! | <x, c> - s_x s_c <q_x, q_c> | = | <r_x, c> + <s_x q_x, r_c> | <= ||r_x|| ||c|| + ||s_x q_x|| ||r_c||
//! ```
//!
//! by Cauchy-Schwarz, and `<q_x, q_c>` is exact in 32 bits.

/// Largest quantised magnitude.
const LARGEST: f32 = 127.0;

/// Rows with no larger value are rounded to zero: their scale, or its inverse, would leave the range of
/// `f32`.
const SMALLEST_SCALED: f32 = 1e-30;

/// `x + ROUNDER` has `x`, rounded to an integer, in its lowest bits, for `|x|` up to 2^22.
const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23

const LANES: usize = 16;

/// The properties of a row `x = scale * q + r` besides the integers `q`. Norms are upper bounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quantized {
    pub(super) scale: f32,
    /// Sum of the integers.
    pub(super) sum: i32,
    /// `||x||`
    pub(super) norm: f32,
    /// `||x||^2`, a bound from below.
    pub(super) least_squared_norm: f32,
    /// `||scale * q||`
    pub(super) rounded_norm: f32,
    /// `||r||`
    pub(super) error: f32,
}

/// Bytes of a quantised row of `dim` values: a multiple of 4, the rest is 0.
pub(super) fn quantized_len(dim: usize) -> usize {
    dim.next_multiple_of(4)
}

/// Longest row whose inner products surely fit in 32 bits: `255 * 127 * dim < 2^31`.
pub(super) const MAX_DIM: usize = 65_536;

/// Quantises `row` of finite values into `out` of [`quantized_len`].
#[inline(always)]
pub(super) fn quantize(row: &[f32], out: &mut [i8]) -> Quantized {
    let (lanes, tail) = row.as_chunks::<LANES>();
    let mut largest = [0.0_f32; LANES];
    let mut squares = [0.0_f32; LANES];
    for values in lanes {
        for lane in 0..LANES {
            largest[lane] =
                if values[lane].abs() > largest[lane] { values[lane].abs() } else { largest[lane] };
            squares[lane] += values[lane] * values[lane];
        }
    }
    let largest = largest.into_iter().chain(tail.iter().map(|value| value.abs())).fold(0.0, f32::max);
    let squared_norm = squares.iter().sum::<f32>() + tail.iter().map(|value| value * value).sum::<f32>();
    let margin = Margin::new(row.len());
    let norm = margin.above(squared_norm);
    // Squares below the smallest normal number may be rounded up.
    let least_squared_norm = squared_norm * (2.0 - margin.factor) - row.len() as f32 * f32::MIN_POSITIVE;
    if largest < SMALLEST_SCALED {
        out.fill(0);
        return Quantized { norm, least_squared_norm, error: norm, ..Default::default() };
    }
    let (scale, inverse) = (largest / LARGEST, LARGEST / largest);
    let mut sums = [0_i32; LANES];
    let mut integer_squares = [0_i32; LANES];
    let mut rests = [0.0_f32; LANES];
    let (out_lanes, out_tail) = out[..row.len()].as_chunks_mut::<LANES>();
    for (values, out) in lanes.iter().zip(out_lanes) {
        for lane in 0..LANES {
            let (integer, rest) = split(values[lane], scale, inverse);
            out[lane] = integer as i8;
            sums[lane] += integer;
            integer_squares[lane] += integer * integer;
            rests[lane] += rest * rest;
        }
    }
    for (lane, (&value, out)) in tail.iter().zip(out_tail).enumerate() {
        let (integer, rest) = split(value, scale, inverse);
        *out = integer as i8;
        sums[lane] += integer;
        integer_squares[lane] += integer * integer;
        rests[lane] += rest * rest;
    }
    out[row.len()..].fill(0);
    let integer_square = integer_squares.iter().map(|&square| i64::from(square)).sum::<i64>();
    Quantized {
        scale,
        sum: sums.iter().sum(),
        norm,
        least_squared_norm,
        rounded_norm: scale * (integer_square as f32).sqrt() * (1.0 + 1e-6),
        // Each rest is off by the rounding of `scale * q` and of the difference.
        error: margin.above(rests.iter().sum::<f32>()) + norm * 2.0 * f32::EPSILON,
    }
}

/// The nearest integer to `value / scale`, and the rest.
#[inline(always)]
fn split(value: f32, scale: f32, inverse: f32) -> (i32, f32) {
    let shifted = value * inverse + ROUNDER;
    let integer = shifted.to_bits() as i32 - ROUNDER.to_bits() as i32;
    (integer, value - scale * (shifted - ROUNDER))
}

/// Turns sums of squares in `f32` into norms that are not too small.
struct Margin {
    factor: f32,
    underflow: f32,
}

impl Margin {
    fn new(dim: usize) -> Self {
        Self {
            // A sum of `dim` squares in lanes is off by a part of less than `(dim / LANES + LANES + 2)
            // 2^-24`.
            factor: 1.0 + (dim / LANES + 2 * LANES) as f32 * f32::EPSILON,
            // Squares below the smallest normal number may be lost.
            underflow: (dim as f32 * f32::MIN_POSITIVE).sqrt(),
        }
    }

    #[inline(always)]
    fn above(&self, squared_norm: f32) -> f32 {
        squared_norm.sqrt() * self.factor + self.underflow
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn norm(values: impl Iterator<Item = f64>) -> f64 {
        values.map(|value| value * value).sum::<f64>().sqrt()
    }

    fn assert_bounds_hold(row: &[f32]) {
        let mut integers = vec![99; quantized_len(row.len())];
        let quantized = quantize(row, &mut integers);
        let scale = f64::from(quantized.scale);
        let rounded = || integers.iter().map(|&integer| scale * f64::from(integer));
        let rest = row.iter().zip(rounded()).map(|(&value, rounded)| f64::from(value) - rounded);
        assert!(norm(rest) <= f64::from(quantized.error), "{row:?}");
        assert!(norm(rounded()) <= f64::from(quantized.rounded_norm), "{row:?}");
        assert!(norm(row.iter().map(|&value| f64::from(value))) <= f64::from(quantized.norm), "{row:?}");
        let squared_norm = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        assert!(f64::from(quantized.least_squared_norm) <= squared_norm, "{row:?}");
        assert_eq!(integers.iter().map(|&integer| i32::from(integer)).sum::<i32>(), quantized.sum);
        assert!(integers[row.len()..].iter().all(|&integer| integer == 0));
        // The bound is of use: half a step for each value.
        let step = f64::from(quantized.scale) * 0.51 * (row.len() as f64).sqrt();
        let slack = f64::from(quantized.norm) * 3e-7 + (row.len() as f64 * 1.2e-38).sqrt();
        assert!(quantized.scale == 0.0 || f64::from(quantized.error) <= step * 1.001 + slack, "{row:?}");
    }

    #[test]
    fn special_rows_keep_the_bounds() {
        for row in [
            vec![0.0; 5],
            vec![1e-45; 40],
            vec![-1e-20, 3e-21, 0.0],
            vec![1e-31, -1e-31],
            vec![1e18, -1e18, 3.0],
            vec![127.0, -127.0, 63.5, 0.5, 1.5, 2.5],
            vec![1.0; 100],
            (0..64).map(|i| if i == 0 { 1e6 } else { 1.0 }).collect(),
        ] {
            assert_bounds_hold(&row);
        }
    }

    #[test]
    fn integers_are_the_nearest_ones() {
        let mut integers = [0; 4];
        let quantized = quantize(&[127.0, -126.6, 0.4, -1.6], &mut integers);
        assert_eq!(integers, [127, -127, 0, -2]);
        assert_eq!((quantized.scale, quantized.sum), (1.0, -2));
    }

    proptest! {
        #[test]
        fn any_row_keeps_the_bounds(
            row in prop::collection::vec((-1.0_f32..1.0, -40_i32..18), 1..70)
                .prop_map(|pairs| pairs.into_iter().map(|(m, e)| m * 10_f32.powi(e)).collect::<Vec<_>>()),
        ) {
            assert_bounds_hold(&row);
        }
    }
}
