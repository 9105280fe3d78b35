//! From a scene to pixels.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::decode::rgb_image::RgbImage8;
use crate::synthetic::scene::Scene;

/// Greatest change of a value by noise. It is the same for all drawings, so that no cluster can be made of
/// it.
const NOISE: f32 = 0.5;

/// Points in each direction whose mean is one pixel.
const SUPERSAMPLING: u32 = 3;

/// Draws `scene` as a square of `size` pixels with smooth edges, and adds its noise.
pub(crate) fn render(scene: &Scene, size: u32, generator: &mut ChaCha8Rng) -> RgbImage8 {
    let mut pixels = Vec::with_capacity(size as usize * size as usize * 3);
    for row in 0..size {
        for column in 0..size {
            for value in pixel_color(scene, column, row, size) {
                let noise = generator.random_range(-NOISE..=NOISE);
                pixels.push(((value + noise).clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        }
    }
    RgbImage8 { width: size, height: size, pixels }
}

fn pixel_color(scene: &Scene, column: u32, row: u32, size: u32) -> [f32; 3] {
    let num_steps = (size * SUPERSAMPLING) as f32;
    let place = |pixel: u32, step: u32| ((pixel * SUPERSAMPLING + step) as f32 + 0.5) / num_steps * 2.0 - 1.0;
    let mut sum = [0.0; 3];
    for step in 0..SUPERSAMPLING * SUPERSAMPLING {
        let (x, y) = (place(column, step % SUPERSAMPLING), place(row, step / SUPERSAMPLING));
        for (sum, value) in sum.iter_mut().zip(scene.color_at(x, y)) {
            *sum += value;
        }
    }
    sum.map(|sum| sum / (SUPERSAMPLING * SUPERSAMPLING) as f32)
}
