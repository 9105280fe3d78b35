//! Single figures around the origin; the coordinates are in units of about their radius.

use std::f32::consts::{PI, TAU};

use crate::synthetic::variation::Variation;

pub(crate) fn disc(x: f32, y: f32, _: &Variation) -> bool {
    x.hypot(y) < 0.9
}

pub(crate) fn square(x: f32, y: f32, _: &Variation) -> bool {
    x.abs().max(y.abs()) < 0.78
}

/// Equilateral, with its corners at radius 1.1.
pub(crate) fn triangle(x: f32, y: f32, _: &Variation) -> bool {
    let height_below_centre = 0.55;
    let slanted = |x: f32| x * (PI / 6.0).cos() + y * (PI / 6.0).sin();
    -y < height_below_centre && slanted(x) < height_below_centre && slanted(-x) < height_below_centre
}

/// Five points.
pub(crate) fn star(x: f32, y: f32, variation: &Variation) -> bool {
    let inner_radius = 0.38 + 0.12 * variation.proportion;
    let outer_radius = 1.1;
    // Folded into half a point: the angle is 0 at its tip and PI / 5 in the notch.
    let angle = (y.atan2(x).rem_euclid(TAU / 5.0) - PI / 5.0).abs();
    let angle = PI / 5.0 - angle;
    let (u, v) = (x.hypot(y) * angle.cos(), x.hypot(y) * angle.sin());
    let (notch_u, notch_v) = (inner_radius * (PI / 5.0).cos(), inner_radius * (PI / 5.0).sin());
    // On the origin's side of the line from the tip (outer_radius, 0) to the notch.
    (u - outer_radius) * notch_v - (notch_u - outer_radius) * v < 0.0
}

pub(crate) fn ring(x: f32, y: f32, variation: &Variation) -> bool {
    let inner_radius = 0.45 + 0.2 * variation.proportion;
    (inner_radius..0.95).contains(&x.hypot(y))
}

pub(crate) fn cross(x: f32, y: f32, variation: &Variation) -> bool {
    let half_width = 0.2 + 0.12 * variation.proportion;
    let (near, far) = (x.abs().min(y.abs()), x.abs().max(y.abs()));
    near < half_width && far < 1.0
}

/// Archimedean, of two to three turns in either direction.
pub(crate) fn spiral(x: f32, y: f32, variation: &Variation) -> bool {
    let radius = x.hypot(y);
    let pitch = 0.42 + 0.14 * variation.proportion;
    let direction = if variation.seed.is_multiple_of(2) { 1.0 } else { -1.0 };
    let turns = radius / pitch - direction * y.atan2(x) / TAU;
    radius < 1.1 && turns.rem_euclid(1.0) < 0.45
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::kinds::{Extent, KINDS};

    const VARIATION: Variation = Variation { proportion: 0.5, seed: 0 };

    #[test]
    fn figures_stay_within_their_radius() {
        for kind in KINDS.iter().filter(|kind| kind.extent == Extent::Shape) {
            let mut num_inside = 0;
            for step in 0..200 * 200 {
                let (x, y) = ((step % 200) as f32 / 50.0 - 2.0, (step / 200) as f32 / 50.0 - 2.0);
                if (kind.contains)(x, y, &VARIATION) {
                    num_inside += 1;
                    assert!(x.hypot(y) <= 1.12, "{} at ({x}, {y})", kind.name);
                }
            }
            let area = num_inside as f32 / 2500.0;
            assert!((0.8..2.7).contains(&area), "{} covers {area}", kind.name);
        }
    }

    #[test]
    fn the_star_has_five_tips_and_five_notches() {
        for point in 0..5 {
            let angle = TAU / 5.0 * point as f32;
            assert!(star(1.05 * angle.cos(), 1.05 * angle.sin(), &VARIATION), "tip {point}");
            let angle = angle + PI / 5.0;
            assert!(!star(0.5 * angle.cos(), 0.5 * angle.sin(), &VARIATION), "notch {point}");
        }
    }
}
