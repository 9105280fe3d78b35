//! Average precision, class by class, of scores or of detections.

use deepcluster_evaluation::{EvaluationError, PrecisionRecall, classification_curve};
use serde::{Deserialize, Serialize};

/// Average precision of a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAveragePrecision {
    /// Name of the class.
    pub class: String,
    /// Number of positives.
    pub num_positives: usize,
    /// Mean of the best precisions at eleven recalls, the rule of VOC 2007; `None` where there is nothing to
    /// find.
    pub eleven_point: Option<f64>,
    /// Area under the interpolated curve, the rule of VOC from 2010 on.
    pub area: Option<f64>,
    /// Average precision of scikit-learn, without interpolation, as the original code reports it.
    pub step_area: Option<f64>,
}

/// Means over the classes of which there is something to find.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeanAveragePrecision {
    /// Mean of [`ClassAveragePrecision::eleven_point`].
    pub eleven_point: f64,
    /// Mean of [`ClassAveragePrecision::area`].
    pub area: f64,
    /// Mean of [`ClassAveragePrecision::step_area`].
    pub step_area: f64,
    /// Every class.
    pub classes: Vec<ClassAveragePrecision>,
}

impl ClassAveragePrecision {
    /// From the curve of a class, or from the finding that it has none.
    pub(crate) fn new(
        class: &str,
        num_positives: usize,
        curve: Result<PrecisionRecall, EvaluationError>,
    ) -> Result<Self, EvaluationError> {
        let curve = match curve {
            Ok(curve) => Some(curve),
            Err(EvaluationError::NoPositives) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            class: class.to_string(),
            num_positives,
            eleven_point: curve.as_ref().map(PrecisionRecall::eleven_point),
            area: curve.as_ref().map(PrecisionRecall::interpolated_area),
            step_area: curve.as_ref().map(PrecisionRecall::step_area),
        })
    }
}

impl MeanAveragePrecision {
    pub(crate) fn new(classes: Vec<ClassAveragePrecision>) -> Self {
        let mean = |value: fn(&ClassAveragePrecision) -> Option<f64>| {
            let values: Vec<f64> = classes.iter().filter_map(value).collect();
            values.iter().sum::<f64>() / values.len().max(1) as f64
        };
        Self {
            eleven_point: mean(|class| class.eleven_point),
            area: mean(|class| class.area),
            step_area: mean(|class| class.step_area),
            classes,
        }
    }

    /// Average precisions of scores `[images][classes]` against labels of the same shape.
    pub(crate) fn from_scores(
        class_names: &[String],
        scores: &[Vec<f32>],
        labels: &[Vec<Option<bool>>],
    ) -> Result<Self, EvaluationError> {
        let class_precision = |(class, name): (usize, &String)| {
            let scores: Vec<f32> = scores.iter().map(|row| row[class]).collect();
            let labels: Vec<Option<bool>> = labels.iter().map(|row| row[class]).collect();
            let num_positives = labels.iter().filter(|&&label| label == Some(true)).count();
            ClassAveragePrecision::new(name, num_positives, classification_curve(&scores, &labels))
        };
        Ok(Self::new(class_names.iter().enumerate().map(class_precision).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_positives_are_left_out_of_the_mean() {
        let names = ["a", "b"].map(str::to_string);
        let scores = [vec![0.9, 0.1], vec![0.8, 0.2], vec![0.7, 0.3]];
        let labels = [vec![Some(true), Some(false)], vec![None, Some(false)], vec![Some(true), Some(false)]];
        let mean = MeanAveragePrecision::from_scores(&names, &scores, &labels).unwrap();
        assert_eq!((mean.eleven_point, mean.area, mean.step_area), (1.0, 1.0, 1.0));
        assert_eq!((mean.classes[0].num_positives, mean.classes[1].area), (2, None));
    }
}
