//! How often the true class is among the best scored.

use ndarray::{ArrayView1, ArrayView2};

use crate::error::EvaluationError;

/// Share of the rows of `scores`, `[num_samples, num_classes]`, in which fewer than `k` classes score higher
/// than the true one; with equal scores the class of the lower number counts as the higher.
///
/// # Errors
/// - [`EvaluationError::LengthMismatch`]: not one label per row.
/// - [`EvaluationError::NoLabels`]: there are no rows.
/// - [`EvaluationError::UnknownClass`]: a label is not a column.
/// - [`EvaluationError::NotFinite`]: a score is not a number.
pub fn top_k_accuracy(scores: ArrayView2<'_, f32>, labels: &[u32], k: usize) -> Result<f64, EvaluationError> {
    let (num_samples, num_labels) = (scores.nrows(), labels.len());
    if num_samples != num_labels {
        return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
    }
    if num_samples == 0 {
        return Err(EvaluationError::NoLabels { num_samples });
    }
    let mut num_right = 0;
    for (index, (row, &label)) in scores.rows().into_iter().zip(labels).enumerate() {
        let class = label as usize;
        let num_classes = row.len();
        if class >= num_classes {
            return Err(EvaluationError::UnknownClass { class, num_classes });
        }
        if row.iter().any(|score| score.is_nan()) {
            return Err(EvaluationError::NotFinite { index });
        }
        num_right += usize::from(num_before(row, class) < k);
    }
    Ok(num_right as f64 / num_samples as f64)
}

/// How many of `scores` are above that of `class`; of equal ones the lower number is.
pub(crate) fn num_before<T: PartialOrd + Copy>(scores: ArrayView1<'_, T>, class: usize) -> usize {
    let own = scores[class];
    let is_before = |(other, &score): (usize, &T)| score > own || (score == own && other < class);
    scores.iter().enumerate().filter(|&entry| is_before(entry)).count()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn ranks_by_hand() {
        let scores = array![[0.1_f32, 0.7, 0.2], [0.5, 0.4, 0.1], [0.3, 0.3, 0.3]];
        assert_eq!(top_k_accuracy(scores.view(), &[1, 1, 0], 1).unwrap(), 2.0 / 3.0);
        assert_eq!(top_k_accuracy(scores.view(), &[1, 1, 2], 1).unwrap(), 1.0 / 3.0);
        assert_eq!(top_k_accuracy(scores.view(), &[1, 1, 2], 2).unwrap(), 2.0 / 3.0);
        assert_eq!(top_k_accuracy(scores.view(), &[1, 1, 2], 3).unwrap(), 1.0);
    }

    #[test]
    fn impossible_input_is_refused() {
        let scores = array![[0.1_f32, 0.7]];
        assert!(matches!(
            top_k_accuracy(scores.view(), &[2], 1),
            Err(EvaluationError::UnknownClass { class: 2, num_classes: 2 })
        ));
        assert!(matches!(top_k_accuracy(scores.view(), &[], 1), Err(EvaluationError::LengthMismatch { .. })));
        let scores = array![[f32::NAN, 0.7]];
        assert!(matches!(
            top_k_accuracy(scores.view(), &[0], 1),
            Err(EvaluationError::NotFinite { index: 0 })
        ));
    }
}
