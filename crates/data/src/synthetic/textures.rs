//! Textures without bounds; the coordinates are in units of about one repetition. Each covers about half the
//! plane.

use std::f32::consts::TAU;

use crate::synthetic::variation::Variation;

pub(crate) fn stripes(x: f32, _: f32, variation: &Variation) -> bool {
    x.rem_euclid(1.0) < 0.35 + 0.3 * variation.proportion
}

pub(crate) fn checkerboard(x: f32, y: f32, _: &Variation) -> bool {
    // Two squares in one repetition.
    ((2.0 * x).floor() + (2.0 * y).floor()).rem_euclid(2.0) < 1.0
}

pub(crate) fn dots(x: f32, y: f32, variation: &Variation) -> bool {
    let radius = 0.28 + 0.1 * variation.proportion;
    let (x, y) = (x.rem_euclid(1.0) - 0.5, y.rem_euclid(1.0) - 0.5);
    x.hypot(y) < radius
}

/// Zigzag-like stripes: each one swings by more than its own width.
pub(crate) fn waves(x: f32, y: f32, variation: &Variation) -> bool {
    let swing = 0.35 + 0.15 * variation.proportion;
    (x + swing * (TAU * y / 1.6).sin()).rem_euclid(1.0) < 0.5
}

/// Smooth noise above its median.
pub(crate) fn blobs(x: f32, y: f32, variation: &Variation) -> bool {
    value_noise(1.6 * x, 1.6 * y, variation.seed) > 0.5
}

/// Random values in 0..1 at the whole coordinates, and smooth in between.
fn value_noise(x: f32, y: f32, seed: u32) -> f32 {
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (column, row) = (x.floor(), y.floor());
    let (right, down) = (smooth(x - column), smooth(y - row));
    let at = |dx: i32, dy: i32| hash_unit(column as i32 + dx, row as i32 + dy, seed);
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    mix(mix(at(0, 0), at(1, 0), right), mix(at(0, 1), at(1, 1), right), down)
}

/// A value in 0..1 for each pair of whole numbers (the mixing steps of MurmurHash3).
fn hash_unit(x: i32, y: i32, seed: u32) -> f32 {
    let mut bits = seed ^ (x as u32).wrapping_mul(0x85EB_CA6B) ^ (y as u32).wrapping_mul(0xC2B2_AE35);
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85EB_CA6B);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xC2B2_AE35);
    bits ^= bits >> 16;
    (bits >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::kinds::{Extent, KINDS};

    #[test]
    fn textures_cover_about_half_the_plane() {
        for kind in KINDS.iter().filter(|kind| kind.extent == Extent::Texture) {
            let variation = Variation { proportion: 0.5, seed: 11 };
            let inside = |step: &i32| {
                (kind.contains)((step % 300) as f32 / 7.3 - 9.0, (step / 300) as f32 / 7.1, &variation)
            };
            let share = (0..300 * 300).filter(inside).count() as f32 / (300.0 * 300.0);
            assert!((0.3..0.7).contains(&share), "{} covers {share}", kind.name);
        }
    }

    #[test]
    fn noise_is_continuous_across_cells() {
        for row in 0..20 {
            let y = row as f32 * 0.37;
            let (before, after) = (value_noise(2.9999, y, 5), value_noise(3.0001, y, 5));
            assert!((before - after).abs() < 1e-3, "{before} {after}");
        }
    }
}
