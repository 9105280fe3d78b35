//! Segmentation: the class of every pixel against the true one.

use serde::{Deserialize, Serialize};

use crate::error::EvaluationError;

/// How often pixels of one class were given another: `counts[truth][prediction]`, summed over images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelConfusion {
    counts: Vec<Vec<u64>>,
}

impl PixelConfusion {
    /// No pixels yet, of `num_classes` classes.
    pub fn new(num_classes: usize) -> Self {
        Self { counts: vec![vec![0; num_classes]; num_classes] }
    }

    /// Adds the pixels of an image. Pixels whose true class is `void` do not count (255 in VOC).
    ///
    /// # Errors
    /// - [`EvaluationError::LengthMismatch`]: the images differ in their number of pixels.
    /// - [`EvaluationError::UnknownClass`]: a class is out of range; nothing has been added then.
    pub fn add(&mut self, predicted: &[u8], truth: &[u8], void: Option<u8>) -> Result<(), EvaluationError> {
        let (num_samples, num_labels) = (predicted.len(), truth.len());
        if num_samples != num_labels {
            return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
        }
        let num_classes = self.counts.len();
        let counted = || predicted.iter().zip(truth).filter(|(_, truth)| Some(**truth) != void);
        for (&predicted, &truth) in counted() {
            if let Some(&class) = [predicted, truth].iter().find(|&&class| usize::from(class) >= num_classes)
            {
                return Err(EvaluationError::UnknownClass { class: class.into(), num_classes });
            }
        }
        for (&predicted, &truth) in counted() {
            self.counts[usize::from(truth)][usize::from(predicted)] += 1;
        }
        Ok(())
    }

    /// Pixels by true and predicted class.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Intersection over union of each class: pixels rightly given it over pixels that have or were given it;
    /// `None` for a class that never occurs in either.
    pub fn class_overlaps(&self) -> Vec<Option<f64>> {
        let overlap = |class: usize| {
            let right = self.counts[class][class];
            let true_pixels: u64 = self.counts[class].iter().sum();
            let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
            let union = true_pixels + predicted - right;
            (union > 0).then(|| right as f64 / union as f64)
        };
        (0..self.counts.len()).map(overlap).collect()
    }

    /// Mean of [`class_overlaps`](Self::class_overlaps) over the classes that occur, the measure of VOC; 0
    /// without pixels.
    pub fn mean_overlap(&self) -> f64 {
        let overlaps: Vec<f64> = self.class_overlaps().into_iter().flatten().collect();
        overlaps.iter().sum::<f64>() / overlaps.len().max(1) as f64
    }

    /// Share of the pixels that have their true class; 0 without pixels.
    pub fn pixel_accuracy(&self) -> f64 {
        let total: u64 = self.counts.iter().flatten().sum();
        let right: u64 = (0..self.counts.len()).map(|class| self.counts[class][class]).sum();
        right as f64 / total.max(1) as f64
    }

    /// The [`mean_overlap`](Self::mean_overlap) of giving every pixel the most frequent class, to compare
    /// with.
    pub fn majority_overlap(&self) -> f64 {
        let sizes: Vec<u64> = self.counts.iter().map(|row| row.iter().sum()).collect();
        let total: u64 = sizes.iter().sum();
        let num_present = sizes.iter().filter(|&&size| size > 0).count();
        let largest = sizes.into_iter().max().unwrap_or(0);
        largest as f64 / (total.max(1) * num_present.max(1) as u64) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_by_hand_and_void_pixels_do_not_count() {
        let mut confusion = PixelConfusion::new(4);
        confusion.add(&[0, 0, 1, 1, 0], &[0, 0, 0, 1, 255], Some(255)).unwrap();
        confusion.add(&[1], &[1], Some(255)).unwrap();
        // Class 0: 2 right, 3 true, 2 predicted; class 1: 2 right, 2 true, 3 predicted; 2 and 3 never occur.
        assert_eq!(confusion.class_overlaps(), [Some(2.0 / 3.0), Some(2.0 / 3.0), None, None]);
        assert!((confusion.mean_overlap() - 2.0 / 3.0).abs() < 1e-12);
        assert!((confusion.pixel_accuracy() - 4.0 / 5.0).abs() < 1e-12);
        // All pixels as class 0: 3 of 5 and 0.
        assert!((confusion.majority_overlap() - 0.3).abs() < 1e-12);
    }

    #[test]
    fn a_class_that_is_only_predicted_counts_as_zero() {
        let mut confusion = PixelConfusion::new(2);
        confusion.add(&[0, 1], &[0, 0], None).unwrap();
        assert_eq!(confusion.class_overlaps(), [Some(0.5), Some(0.0)]);
    }

    #[test]
    fn impossible_input_is_refused() {
        let mut confusion = PixelConfusion::new(2);
        let error = confusion.add(&[0], &[0, 1], None).unwrap_err();
        assert!(matches!(error, EvaluationError::LengthMismatch { .. }));
        let error = confusion.add(&[0, 2], &[0, 1], None).unwrap_err();
        assert!(matches!(error, EvaluationError::UnknownClass { class: 2, num_classes: 2 }));
        assert_eq!(confusion, PixelConfusion::new(2));
        assert_eq!(confusion.mean_overlap() + confusion.pixel_accuracy() + confusion.majority_overlap(), 0.0);
    }
}
