//! Average precision of a ranking: the area under its precision-recall curve, in the ways in use.

use crate::error::EvaluationError;

/// Precision and recall of a ranking after each of its entries, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionRecall {
    /// Share of the positives that have been found, ascending; entries of equal score count as one.
    pub recall: Vec<f64>,
    /// Share of what has been found that is positive.
    pub precision: Vec<f64>,
}

impl PrecisionRecall {
    /// The curve of `ranked`, which holds for each entry, best first, whether it is right; `scores` are
    /// theirs, and entries of equal score have no order among them. `num_positives` is how many there are to
    /// find, found or not.
    ///
    /// # Errors
    /// - [`EvaluationError::LengthMismatch`]: the lists differ in length.
    /// - [`EvaluationError::NotFinite`]: a score is not a number.
    /// - [`EvaluationError::NoPositives`]: there is nothing to find.
    pub fn new(scores: &[f32], is_positive: &[bool], num_positives: usize) -> Result<Self, EvaluationError> {
        let (num_samples, num_labels) = (scores.len(), is_positive.len());
        if num_samples != num_labels {
            return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
        }
        if let Some(index) = scores.iter().position(|score| score.is_nan()) {
            return Err(EvaluationError::NotFinite { index });
        }
        if num_positives == 0 {
            return Err(EvaluationError::NoPositives);
        }
        let mut order: Vec<usize> = (0..num_samples).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut curve = Self { recall: Vec::new(), precision: Vec::new() };
        let mut num_right = 0;
        for (rank, &index) in order.iter().enumerate() {
            num_right += usize::from(is_positive[index]);
            let next = order.get(rank + 1);
            if next.is_some_and(|&next| scores[next] == scores[index]) {
                continue;
            }
            curve.recall.push(num_right as f64 / num_positives as f64);
            curve.precision.push(num_right as f64 / (rank + 1) as f64);
        }
        Ok(curve)
    }

    /// Sum of the precisions, each times the recall it adds: the average precision of scikit-learn, which the
    /// original code reports for VOC classification.
    pub fn step_area(&self) -> f64 {
        let before = std::iter::once(&0.0).chain(&self.recall);
        let steps = self.recall.iter().zip(before).map(|(recall, before)| recall - before);
        // From 0, as an empty sum of Rust is -0.
        steps.zip(&self.precision).fold(0.0, |sum, (step, precision)| sum + step * precision)
    }

    /// Mean of the best precision at a recall of at least 0, 0.1, ..., 1: the rule of PASCAL VOC until 2009.
    pub fn eleven_point(&self) -> f64 {
        let best_from = |threshold: f64| {
            let reached = self.recall.iter().zip(&self.precision);
            // 3/10 and 0.1 * 3 differ in the last bit.
            let reached = reached.filter(|(recall, _)| **recall >= threshold - 1e-12);
            reached.map(|(_, &precision)| precision).fold(0.0, f64::max)
        };
        (0..=10).map(|tenth| best_from(f64::from(tenth) / 10.0)).sum::<f64>() / 11.0
    }

    /// Area under the curve when the precision at a recall is the best at that recall or above: the rule of
    /// PASCAL VOC from 2010 on.
    pub fn interpolated_area(&self) -> f64 {
        let (mut area, mut best) = (0.0, 0.0_f64);
        for index in (0..self.recall.len()).rev() {
            best = best.max(self.precision[index]);
            let before = if index == 0 { 0.0 } else { self.recall[index - 1] };
            area += (self.recall[index] - before) * best;
        }
        area
    }
}

/// Average precision of one class over images, of which some may not count.
///
/// `labels` are `Some(true)` for images of the class, `Some(false)` for the others, and `None` for those that
/// do not count, such as VOC's difficult ones.
///
/// # Errors
/// As [`PrecisionRecall::new`].
pub fn classification_curve(
    scores: &[f32],
    labels: &[Option<bool>],
) -> Result<PrecisionRecall, EvaluationError> {
    let (num_samples, num_labels) = (scores.len(), labels.len());
    if num_samples != num_labels {
        return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
    }
    let counted = scores.iter().zip(labels).filter_map(|(&score, &label)| Some((score, label?)));
    let (scores, labels): (Vec<f32>, Vec<bool>) = counted.unzip();
    let num_positives = labels.iter().filter(|&&label| label).count();
    PrecisionRecall::new(&scores, &labels, num_positives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn a_ranking_by_hand() {
        // right, wrong, right, wrong, wrong, right: precisions 1, 1/2, 2/3, 2/4, 2/5, 3/6.
        let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
        let right = [true, false, true, false, false, true];
        let curve = PrecisionRecall::new(&scores, &right, 3).unwrap();
        close(curve.step_area(), (1.0 + 2.0 / 3.0 + 0.5) / 3.0);
        close(curve.interpolated_area(), (1.0 + 2.0 / 3.0 + 0.5) / 3.0);
        // Recall 0 to 0.3: 1; 0.4 to 0.6: 2/3; 0.7 to 1: 1/2.
        close(curve.eleven_point(), (4.0 + 3.0 * 2.0 / 3.0 + 4.0 * 0.5) / 11.0);
    }

    #[test]
    fn a_late_rise_of_precision_counts_only_when_interpolated() {
        // wrong, right, right: precisions 0, 1/2, 2/3.
        let curve = PrecisionRecall::new(&[3.0, 2.0, 1.0], &[false, true, true], 2).unwrap();
        close(curve.step_area(), (0.5 + 2.0 / 3.0) / 2.0);
        close(curve.interpolated_area(), 2.0 / 3.0);
        close(curve.eleven_point(), 2.0 / 3.0);
    }

    #[test]
    fn what_is_never_found_lowers_the_recall() {
        let curve = PrecisionRecall::new(&[1.0], &[true], 4).unwrap();
        close(curve.step_area(), 0.25);
        close(curve.interpolated_area(), 0.25);
        close(curve.eleven_point(), 3.0 / 11.0); // recall 0, 0.1 and 0.2
        let nothing = PrecisionRecall::new(&[], &[], 4).unwrap();
        close(nothing.step_area() + nothing.interpolated_area() + nothing.eleven_point(), 0.0);
    }

    #[test]
    fn equal_scores_have_no_order() {
        let scores = [0.5, 0.5, 0.5, 0.5];
        for right in [[true, false, false, false], [false, false, false, true]] {
            close(PrecisionRecall::new(&scores, &right, 1).unwrap().step_area(), 0.25);
        }
    }

    #[test]
    fn a_recall_of_exactly_a_tenth_counts() {
        let (scores, right): (Vec<f32>, Vec<bool>) = (0..10).map(|i| (-(i as f32), i < 3)).unzip();
        let curve = PrecisionRecall::new(&scores, &right, 10).unwrap();
        close(curve.eleven_point(), 4.0 / 11.0);
    }

    #[test]
    fn images_without_a_label_do_not_count() {
        let curve = classification_curve(&[3.0, 2.0, 1.0], &[None, Some(true), Some(false)]).unwrap();
        close(curve.step_area(), 1.0);
    }

    #[test]
    fn impossible_input_is_refused() {
        let error = PrecisionRecall::new(&[1.0], &[true, false], 1).unwrap_err();
        assert!(matches!(error, EvaluationError::LengthMismatch { num_samples: 1, num_labels: 2 }));
        let error = PrecisionRecall::new(&[1.0, f32::NAN], &[true, false], 1).unwrap_err();
        assert!(matches!(error, EvaluationError::NotFinite { index: 1 }));
        let error = classification_curve(&[1.0], &[Some(false)]).unwrap_err();
        assert!(matches!(error, EvaluationError::NoPositives));
    }
}
