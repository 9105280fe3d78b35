//! Recall of proposals.

use deepcluster_evaluation::BoundingBox;

/// Share of `objects` that one of `proposals` overlaps by at least `min_overlap`; `None` without objects.
pub(crate) fn recall(proposals: &[BoundingBox], objects: &[BoundingBox], min_overlap: f32) -> Option<f64> {
    let is_found = |object: &&BoundingBox| proposals.iter().any(|found| found.overlap(object) >= min_overlap);
    let num_found = objects.iter().filter(is_found).count();
    (!objects.is_empty()).then(|| num_found as f64 / objects.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_objects() {
        let square = |x: f32| BoundingBox { x_min: x, y_min: 0.0, x_max: x + 9.0, y_max: 9.0 };
        let found = recall(&[square(0.0), square(100.0)], &[square(1.0), square(50.0)], 0.5);
        assert_eq!(found, Some(0.5));
        assert_eq!(recall(&[square(0.0)], &[], 0.5), None);
        assert_eq!(recall(&[], &[square(0.0)], 0.5), Some(0.0));
    }
}
