//! One drawing: a figure of its kind in random circumstances that do not depend on the kind.

use std::f32::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::synthetic::kinds::{Extent, Kind};
use crate::synthetic::variation::Variation;

/// Red, green and blue in 0..=1.
pub(crate) type Color = [f32; 3];

// Only what a network cannot learn to recognise differs freely between drawings: clutter, place and colour.
// Contrast and strength of noise are as good as the same for all; otherwise they would make clusters of their
// own.

/// Difference in brightness between the figure and its ground, least and greatest.
const CONTRAST: (f32, f32) = (0.4, 0.5);

/// Lines and blobs over every drawing.
const NUM_STROKES: usize = 6;

/// Greatest rotation in radians. Like photos, drawings have an upright; the random crops of training teach a
/// network to overlook place and scale, not rotation.
const MAX_TILT: f32 = 0.15;

/// A drawing without its noise. Places are in -1..1 from left to right and from top to bottom.
pub(crate) struct Scene {
    kind: &'static Kind,
    variation: Variation,
    foreground: Color,
    background: Color,
    placement: Placement,
    clutter: Vec<Stroke>,
}

/// From places in the image to the figure's own coordinates.
struct Placement {
    centre: (f32, f32),
    /// Size of the figure's unit.
    scale: f32,
    /// Cosine and sine of the rotation.
    rotation: (f32, f32),
    /// Factor on the first of the figure's coordinates.
    stretch: f32,
}

/// A line with round ends; a blob where both ends are the same.
struct Stroke {
    from: (f32, f32),
    to: (f32, f32),
    radius: f32,
    color: Color,
}

impl Scene {
    pub(crate) fn random(kind: &'static Kind, generator: &mut ChaCha8Rng) -> Self {
        let variation = Variation { proportion: generator.random(), seed: generator.random() };
        let (foreground, background) = contrasting_colors(generator);
        let placement = Placement::random(kind.extent, generator);
        let clutter = (0..NUM_STROKES).map(|_| Stroke::random(generator)).collect();
        Self { kind, variation, foreground, background, placement, clutter }
    }

    /// The colour of a point, without noise.
    pub(crate) fn color_at(&self, x: f32, y: f32) -> Color {
        if let Some(stroke) = self.clutter.iter().find(|stroke| stroke.covers(x, y)) {
            return stroke.color;
        }
        let (u, v) = self.placement.to_figure(x, y);
        if (self.kind.contains)(u, v, &self.variation) { self.foreground } else { self.background }
    }
}

impl Placement {
    fn random(extent: Extent, generator: &mut ChaCha8Rng) -> Self {
        let scale = match extent {
            Extent::Shape => generator.random_range(0.55..0.9),
            Extent::Texture => generator.random_range(0.32..0.52),
        };
        // The figure may leave the image by a little; textures begin anywhere.
        let room = if extent == Extent::Shape { 1.1_f32 - scale } else { 1.0 };
        let mut offset = || generator.random_range(-room..room);
        let centre = (offset(), offset());
        let angle = generator.random_range(-MAX_TILT..MAX_TILT);
        let stretch = generator.random_range(0.85..1.18);
        Self { centre, scale, rotation: (angle.cos(), angle.sin()), stretch }
    }

    fn to_figure(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = ((x - self.centre.0) / self.scale, (y - self.centre.1) / self.scale);
        let (cosine, sine) = self.rotation;
        ((x * cosine + y * sine) / self.stretch, y * cosine - x * sine)
    }
}

impl Stroke {
    fn random(generator: &mut ChaCha8Rng) -> Self {
        let from = (generator.random_range(-1.0..1.0), generator.random_range(-1.0..1.0));
        let is_line = generator.random::<f32>() < 0.6;
        let length: f32 = if is_line { generator.random_range(0.2..0.7) } else { 0.0 };
        let angle: f32 = generator.random_range(0.0..TAU);
        let to = (from.0 + length * angle.cos(), from.1 + length * angle.sin());
        let radius =
            if is_line { generator.random_range(0.02..0.05) } else { generator.random_range(0.05..0.13) };
        Self { from, to, radius, color: random_color(generator) }
    }

    fn covers(&self, x: f32, y: f32) -> bool {
        let (dx, dy) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        let (px, py) = (x - self.from.0, y - self.from.1);
        // Share of the way to the nearest point of the line; the small number guards against a length of 0.
        let share = ((px * dx + py * dy) / (dx * dx + dy * dy + 1e-9)).clamp(0.0, 1.0);
        (px - share * dx).hypot(py - share * dy) < self.radius
    }
}

fn random_color(generator: &mut ChaCha8Rng) -> Color {
    std::array::from_fn(|_| generator.random_range(0.05..0.95))
}

/// Two colours that also differ in grey, since networks may see nothing else.
fn contrasting_colors(generator: &mut ChaCha8Rng) -> (Color, Color) {
    loop {
        let colors = (random_color(generator), random_color(generator));
        let contrast = (luma(colors.0) - luma(colors.1)).abs();
        if (CONTRAST.0..CONTRAST.1).contains(&contrast) {
            return colors;
        }
    }
}

/// Brightness after ITU-R BT.601.
fn luma([red, green, blue]: Color) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}
