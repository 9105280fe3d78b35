//! Arithmetic of boxes.

use deepcluster_evaluation::BoundingBox;

/// Standard deviations that the four numbers of a transform are divided by, so that they learn at one pace.
const DEVIATIONS: [f32; 4] = [0.1, 0.1, 0.2, 0.2];

/// Largest logarithm of a growth of a side that is believed: 1000 / 16.
const MAX_LOG_GROWTH: f32 = 4.135_166_6;

/// Indices of the boxes, given best first, that are kept: no better kept one overlaps them by more than
/// `max_overlap`.
pub fn non_maximum_suppression(boxes: &[BoundingBox], max_overlap: f32) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for (index, candidate) in boxes.iter().enumerate() {
        if kept.iter().all(|&better| boxes[better].overlap(candidate) <= max_overlap) {
            kept.push(index);
        }
    }
    kept
}

/// The shift and stretch that turn `from` into `to` (Girshick et al., CVPR 2014, appendix C).
pub(super) fn encode(from: &BoundingBox, to: &BoundingBox) -> [f32; 4] {
    let (a, b) = (Centred::new(from), Centred::new(to));
    let transform =
        [(b.x - a.x) / a.width, (b.y - a.y) / a.height, (b.width / a.width).ln(), (b.height / a.height).ln()];
    std::array::from_fn(|index| transform[index] / DEVIATIONS[index])
}

/// The box that `transform`, the result of [`encode`], makes of `from`.
pub(super) fn decode(from: &BoundingBox, transform: [f32; 4]) -> BoundingBox {
    let a = Centred::new(from);
    let [x, y, width, height] = std::array::from_fn(|index| transform[index] * DEVIATIONS[index]);
    let (width, height) =
        (a.width * width.min(MAX_LOG_GROWTH).exp(), a.height * height.min(MAX_LOG_GROWTH).exp());
    let (x, y) = (a.x + x * a.width, a.y + y * a.height);
    BoundingBox {
        x_min: x - (width - 1.0) / 2.0,
        y_min: y - (height - 1.0) / 2.0,
        x_max: x + (width - 1.0) / 2.0,
        y_max: y + (height - 1.0) / 2.0,
    }
}

/// The part of a box within an image.
pub(super) fn clip(bounds: BoundingBox, width: u32, height: u32) -> BoundingBox {
    let (right, bottom) = (width.saturating_sub(1) as f32, height.saturating_sub(1) as f32);
    BoundingBox {
        x_min: bounds.x_min.clamp(0.0, right),
        y_min: bounds.y_min.clamp(0.0, bottom),
        x_max: bounds.x_max.clamp(0.0, right),
        y_max: bounds.y_max.clamp(0.0, bottom),
    }
}

/// The box in an image that has been mirrored left and right.
pub(super) fn mirrored(bounds: &BoundingBox, width: u32) -> BoundingBox {
    let right = width.saturating_sub(1) as f32;
    BoundingBox { x_min: right - bounds.x_max, x_max: right - bounds.x_min, ..*bounds }
}

struct Centred {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

impl Centred {
    fn new(bounds: &BoundingBox) -> Self {
        let BoundingBox { x_min, y_min, x_max, y_max } = *bounds;
        Self {
            x: (x_min + x_max) / 2.0,
            y: (y_min + y_max) / 2.0,
            width: (x_max - x_min + 1.0).max(1.0),
            height: (y_max - y_min + 1.0).max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(generator: &mut ChaCha8Rng) -> BoundingBox {
        let (x_min, y_min) = (generator.random_range(0.0..50.0_f32), generator.random_range(0.0..50.0_f32));
        let (width, height) = (generator.random_range(1.0..40.0_f32), generator.random_range(1.0..40.0_f32));
        BoundingBox { x_min, y_min, x_max: x_min + width, y_max: y_min + height }
    }

    #[test]
    fn a_box_that_is_encoded_decodes_to_itself() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..500 {
            let (from, to) = (random(&mut generator), random(&mut generator));
            let found = decode(&from, encode(&from, &to));
            let sides = |b: BoundingBox| [b.x_min, b.y_min, b.x_max, b.y_max];
            for (found, wanted) in sides(found).into_iter().zip(sides(to)) {
                assert!((found - wanted).abs() < 1e-3, "{found} {wanted}");
            }
        }
        let unit = BoundingBox { x_min: 0.0, y_min: 0.0, x_max: 9.0, y_max: 9.0 };
        let moved = BoundingBox { x_min: 1.0, y_min: 0.0, x_max: 10.0, y_max: 9.0 };
        assert_eq!(encode(&unit, &moved), [1.0, 0.0, 0.0, 0.0]);
        assert!(decode(&unit, [0.0, 0.0, 1e9, 0.0]).x_max.is_finite());
    }

    #[test]
    fn suppression_keeps_the_best_of_what_overlaps() {
        let at = |x: f32| BoundingBox { x_min: x, y_min: 0.0, x_max: x + 9.0, y_max: 9.0 };
        // The third overlaps the second, which the first has removed: it stays.
        assert_eq!(non_maximum_suppression(&[at(0.0), at(4.0), at(8.0), at(100.0)], 0.3), [0, 2, 3]);
        let mut generator = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..50 {
            let boxes: Vec<BoundingBox> = (0..40).map(|_| random(&mut generator)).collect();
            let kept = non_maximum_suppression(&boxes, 0.3);
            let is_beaten = |index: usize| {
                kept.iter().any(|&better| better < index && boxes[better].overlap(&boxes[index]) > 0.3)
            };
            let expected: Vec<usize> = (0..boxes.len()).filter(|&index| !is_beaten(index)).collect();
            assert_eq!(kept, expected);
        }
    }

    #[test]
    fn boxes_are_cut_and_mirrored() {
        let bounds = BoundingBox { x_min: -3.0, y_min: 2.0, x_max: 40.0, y_max: 90.0 };
        let cut = clip(bounds, 20, 30);
        assert_eq!(cut, BoundingBox { x_min: 0.0, y_min: 2.0, x_max: 19.0, y_max: 29.0 });
        let inner = BoundingBox { x_min: 2.0, y_min: 0.0, x_max: 5.0, y_max: 1.0 };
        assert_eq!(mirrored(&inner, 20), BoundingBox { x_min: 14.0, y_min: 0.0, x_max: 17.0, y_max: 1.0 });
        assert_eq!(mirrored(&mirrored(&inner, 20), 20), inner);
    }
}
