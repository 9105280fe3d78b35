//! Detection by the rules of PASCAL VOC: boxes matched to objects, and the average precision of what was
//! found.

use std::collections::BTreeMap;

use crate::average_precision::PrecisionRecall;
use crate::error::EvaluationError;

/// A box in pixels, `x` to the right and `y` down; the pixels `x_max` and `y_max` belong to it, as in VOC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// Left edge.
    pub x_min: f32,
    /// Upper edge.
    pub y_min: f32,
    /// Right edge, inclusive.
    pub x_max: f32,
    /// Lower edge, inclusive.
    pub y_max: f32,
}

impl BoundingBox {
    /// Area in pixels, 0 for a box turned inside out.
    pub fn area(&self) -> f32 {
        (self.x_max - self.x_min + 1.0).max(0.0) * (self.y_max - self.y_min + 1.0).max(0.0)
    }

    /// Intersection over union with another box, in `[0, 1]`.
    pub fn overlap(&self, other: &Self) -> f32 {
        let common = Self {
            x_min: self.x_min.max(other.x_min),
            y_min: self.y_min.max(other.y_min),
            x_max: self.x_max.min(other.x_max),
            y_max: self.y_max.min(other.y_max),
        };
        let intersection = common.area();
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }
}

/// An object that is in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroundTruth {
    /// Number of the image.
    pub image: usize,
    /// Where it is.
    pub bounds: BoundingBox,
    /// Objects marked difficult need not be found, and finding them is not an error.
    pub is_difficult: bool,
}

/// A detected object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Number of the image.
    pub image: usize,
    /// Where.
    pub bounds: BoundingBox,
    /// How sure it is; only the order matters.
    pub score: f32,
}

/// Precision and recall of the detections of one class.
///
/// The surest detection comes first. It is right where the object of its image it overlaps most has an
/// intersection over union of at least `min_overlap` (0.5 in VOC) and has not been found before; it does not
/// count where that object is difficult; all others are wrong, second detections of one object included.
///
/// # Errors
/// As [`PrecisionRecall::new`]: a score that is not a number, or no object that is not difficult.
pub fn detection_curve(
    detections: &[Detection],
    objects: &[GroundTruth],
    min_overlap: f32,
) -> Result<PrecisionRecall, EvaluationError> {
    if let Some(index) = detections.iter().position(|detection| detection.score.is_nan()) {
        return Err(EvaluationError::NotFinite { index });
    }
    let mut by_image: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, object) in objects.iter().enumerate() {
        by_image.entry(object.image).or_default().push(index);
    }
    let mut order: Vec<&Detection> = detections.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut is_found = vec![false; objects.len()];
    let (mut scores, mut is_right) = (Vec::new(), Vec::new());
    for detection in order {
        let mut best: Option<(usize, f32)> = None;
        for &index in by_image.get(&detection.image).into_iter().flatten() {
            let overlap = detection.bounds.overlap(&objects[index].bounds);
            if best.is_none_or(|(_, most)| overlap > most) {
                best = Some((index, overlap));
            }
        }
        let matched = best.filter(|&(_, overlap)| overlap >= min_overlap).map(|(index, _)| index);
        if matched.is_some_and(|index| objects[index].is_difficult) {
            continue;
        }
        let right = matched.is_some_and(|index| !std::mem::replace(&mut is_found[index], true));
        scores.push(detection.score);
        is_right.push(right);
    }
    let num_positives = objects.iter().filter(|object| !object.is_difficult).count();
    PrecisionRecall::new(&scores, &is_right, num_positives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f32, y: f32) -> BoundingBox {
        BoundingBox { x_min: x, y_min: y, x_max: x + 9.0, y_max: y + 9.0 }
    }

    fn object(image: usize, x: f32, is_difficult: bool) -> GroundTruth {
        GroundTruth { image, bounds: square(x, 0.0), is_difficult }
    }

    fn detection(image: usize, x: f32, score: f32) -> Detection {
        Detection { image, bounds: square(x, 0.0), score }
    }

    #[test]
    fn overlaps_count_the_last_pixel() {
        let (a, b) = (square(0.0, 0.0), square(5.0, 0.0));
        assert_eq!(a.area(), 100.0);
        assert_eq!(a.overlap(&b), 50.0 / 150.0);
        assert_eq!(a.overlap(&square(10.0, 0.0)), 0.0);
        assert_eq!(a.overlap(&a), 1.0);
        let inside_out = BoundingBox { x_min: 5.0, y_min: 0.0, x_max: 0.0, y_max: 9.0 };
        assert_eq!(inside_out.area(), 0.0);
    }

    #[test]
    fn second_detections_and_other_images_are_wrong() {
        let objects = [object(0, 0.0, false), object(0, 50.0, false)];
        let detections = [
            detection(0, 1.0, 0.9),  // right
            detection(0, 0.0, 0.8),  // the same object again, although it fits better
            detection(1, 0.0, 0.7),  // no object in that image
            detection(0, 52.0, 0.6), // right
        ];
        let curve = detection_curve(&detections, &objects, 0.5).unwrap();
        assert_eq!(curve.recall, [0.5, 0.5, 0.5, 1.0]);
        assert_eq!(curve.precision, [1.0, 0.5, 1.0 / 3.0, 0.5]);
    }

    #[test]
    fn difficult_objects_neither_help_nor_hurt() {
        let objects = [object(0, 0.0, true), object(0, 50.0, false)];
        let detections = [detection(0, 0.0, 0.9), detection(0, 0.0, 0.8), detection(0, 50.0, 0.7)];
        let curve = detection_curve(&detections, &objects, 0.5).unwrap();
        assert_eq!((curve.recall, curve.precision), (vec![1.0], vec![1.0]));
        let error = detection_curve(&detections, &objects[..1], 0.5).unwrap_err();
        assert!(matches!(error, EvaluationError::NoPositives));
    }

    #[test]
    fn the_overlap_must_be_reached() {
        let objects = [object(0, 0.0, false)];
        // 5 of 15 columns in common: 1/3.
        let curve = detection_curve(&[detection(0, 5.0, 1.0)], &objects, 0.5).unwrap();
        assert_eq!(curve.recall, [0.0]);
        let curve = detection_curve(&[detection(0, 5.0, 1.0)], &objects, 1.0 / 3.0).unwrap();
        assert_eq!(curve.recall, [1.0]);
    }
}
