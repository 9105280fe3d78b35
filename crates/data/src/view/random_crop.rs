//! The random crop of torchvision's `RandomResizedCrop`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::view::resize::CropBox;

/// Boxes that are tried before the centre of the image is taken.
const MAX_TRIES: u32 = 10;

/// Draws a box within a `width x height` image: its share of the area is uniform in `scale`, its width
/// divided by its height log-uniform in `ratio`, its place uniform. If ten boxes do not fit, it is the
/// largest central box whose ratio lies in `ratio`.
pub(crate) fn random_crop_box(
    width: u32,
    height: u32,
    scale: (f32, f32),
    ratio: (f32, f32),
    generator: &mut ChaCha8Rng,
) -> CropBox {
    let area = f64::from(width) * f64::from(height);
    let log_ratio = (f64::from(ratio.0).ln(), f64::from(ratio.1).ln());
    for _ in 0..MAX_TRIES {
        let target_area = area * uniform(f64::from(scale.0), f64::from(scale.1), generator);
        let aspect = uniform(log_ratio.0, log_ratio.1, generator).exp();
        // A float beyond the range of integers becomes their largest, which fits no image.
        let crop_width = (target_area * aspect).sqrt().round_ties_even() as u32;
        let crop_height = (target_area / aspect).sqrt().round_ties_even() as u32;
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            let top = generator.random_range(0..=height - crop_height);
            let left = generator.random_range(0..=width - crop_width);
            return CropBox { left, top, width: crop_width, height: crop_height };
        }
    }
    central_box(width, height, ratio)
}

fn central_box(width: u32, height: u32, ratio: (f32, f32)) -> CropBox {
    let (wide, high) = (f64::from(width), f64::from(height));
    let (least, greatest) = (f64::from(ratio.0), f64::from(ratio.1));
    let (mut crop_width, mut crop_height) = (width, height);
    if wide / high < least {
        crop_height = ((wide / least).round_ties_even() as u32).clamp(1, height);
    } else if wide / high > greatest {
        crop_width = ((high * greatest).round_ties_even() as u32).clamp(1, width);
    }
    let (left, top) = ((width - crop_width) / 2, (height - crop_height) / 2);
    CropBox { left, top, width: crop_width, height: crop_height }
}

fn uniform(low: f64, high: f64, generator: &mut ChaCha8Rng) -> f64 {
    low + (high - low) * generator.random::<f64>()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const RATIO: (f32, f32) = (0.75, 4.0 / 3.0);

    #[test]
    fn boxes_have_the_area_and_ratio_asked_for() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let (mut mean_share, mut mean_log_ratio, mut mean_left) = (0.0, 0.0, 0.0);
        let num_boxes = 4000;
        for _ in 0..num_boxes {
            let crop = random_crop_box(500, 400, (0.08, 0.5), RATIO, &mut generator);
            assert!(crop.left + crop.width <= 500 && crop.top + crop.height <= 400, "{crop:?}");
            let share = f64::from(crop.width * crop.height) / 200_000.0;
            let ratio = f64::from(crop.width) / f64::from(crop.height);
            // Sides are rounded to whole pixels, of which the shortest has 109.
            assert!((0.079..0.506).contains(&share) && (0.74..1.35).contains(&ratio), "{crop:?}");
            mean_share += share / f64::from(num_boxes);
            mean_log_ratio += ratio.ln() / f64::from(num_boxes);
            mean_left += f64::from(crop.left) / f64::from(500 - crop.width) / f64::from(num_boxes);
        }
        // Uniform in 0.08..0.5 has the mean 0.29 and the standard error 0.12 / sqrt(4000) = 0.002.
        assert!((mean_share - 0.29).abs() < 0.01, "{mean_share}");
        assert!(mean_log_ratio.abs() < 0.015, "{mean_log_ratio}");
        assert!((mean_left - 0.5).abs() < 0.03, "{mean_left}");
    }

    #[test]
    fn images_too_elongated_for_any_box_give_their_centre() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let crop = random_crop_box(1000, 10, (0.9, 1.0), RATIO, &mut generator);
        // 10 * 4 / 3 = 13.3 wide, (1000 - 13) / 2 = 493
        assert_eq!(crop, CropBox { left: 493, top: 0, width: 13, height: 10 });
        let crop = random_crop_box(1, 5000, (0.08, 1.0), RATIO, &mut generator);
        assert_eq!(crop, CropBox { left: 0, top: 2499, width: 1, height: 1 });
        let crop = random_crop_box(1, 1, (0.08, 0.1), (3.0, 4.0), &mut generator);
        assert_eq!(crop, CropBox { left: 0, top: 0, width: 1, height: 1 });
    }
}
