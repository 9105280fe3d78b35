//! Classification by the votes of the nearest training images.

use deepcluster_clustering::nearest_neighbors;
use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::EvaluationError;
use crate::knn::normalized_rows;
use crate::top_k::num_before;

/// How [`weighted_knn`] votes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightedKnnConfig {
    /// Numbers of neighbours to report, each at least 1; 20 and 200 are customary.
    pub num_neighbors: Vec<usize>,
    /// A neighbour of cosine similarity `s` has the weight `exp(s / temperature)`; more than 0. 0.07 is
    /// customary (Wu et al., *Unsupervised Feature Learning via Non-Parametric Instance Discrimination*, CVPR
    /// 2018).
    pub temperature: f64,
}

impl Default for WeightedKnnConfig {
    fn default() -> Self {
        Self { num_neighbors: vec![20, 200], temperature: 0.07 }
    }
}

/// Accuracy with one number of neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnnAccuracy {
    /// Neighbours that voted.
    pub num_neighbors: usize,
    /// Share of the test images whose label got the most votes.
    pub top1: f64,
    /// Share of the test images whose label is among the five with the most votes.
    pub top5: f64,
}

/// Classifies test images by the labels of the nearest training images, weighted by their cosine similarity.
///
/// `train_features` `[num_train, d]` and `test_features` `[num_test, d]` are L2-normalised here; labels are
/// classes from 0. Where there are fewer training images than neighbours, all of them vote.
///
/// # Errors
/// - [`EvaluationError::LengthMismatch`]: not one label per row.
/// - [`EvaluationError::NoLabels`]: there is no training or no test image.
/// - [`EvaluationError::NumNeighbors`]: a number of neighbours is 0.
/// - [`EvaluationError::Temperature`]: the temperature is not more than 0.
/// - [`EvaluationError::Clustering`]: a feature is not finite, or the widths differ.
pub fn weighted_knn(
    train_features: ArrayView2<'_, f32>,
    train_labels: &[u32],
    test_features: ArrayView2<'_, f32>,
    test_labels: &[u32],
    config: &WeightedKnnConfig,
) -> Result<Vec<KnnAccuracy>, EvaluationError> {
    for (features, labels) in [(train_features, train_labels), (test_features, test_labels)] {
        let (num_samples, num_labels) = (features.nrows(), labels.len());
        if num_samples != num_labels {
            return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
        }
        if num_samples == 0 {
            return Err(EvaluationError::NoLabels { num_samples });
        }
    }
    let num_train = train_labels.len();
    if config.num_neighbors.contains(&0) {
        return Err(EvaluationError::NumNeighbors { num_neighbors: 0, allowed: num_train });
    }
    if !(config.temperature > 0.0 && config.temperature.is_finite()) {
        return Err(EvaluationError::Temperature { temperature: config.temperature });
    }
    let most = config.num_neighbors.iter().copied().max().unwrap_or(0).min(num_train);
    if most == 0 {
        return Ok(Vec::new());
    }
    let database = normalized_rows(train_features);
    let queries = normalized_rows(test_features);
    let neighbors = nearest_neighbors(queries.view(), database.view(), most, false)?;
    let num_classes = train_labels.iter().chain(test_labels).max().map_or(0, |&label| label as usize + 1);
    let accuracy = |&asked: &usize| {
        let (mut num_first, mut num_in_five) = (0, 0);
        for (row, &label) in test_labels.iter().enumerate() {
            let mut votes = vec![0.0_f64; num_classes];
            let distances = neighbors.squared_distances.row(row);
            for (&neighbor, &distance) in neighbors.indices.row(row).iter().zip(distances).take(asked) {
                // Of unit vectors: |a - b|^2 = 2 - 2 cos. Against the nearest, whose weight is 1 then: none
                // overflows, and where it is cold not all of them vanish.
                let further = f64::from(distance) - f64::from(distances[0]);
                votes[train_labels[neighbor as usize] as usize] +=
                    (-0.5 * further / config.temperature).exp();
            }
            let num_before = num_before(ArrayView1::from(&votes), label as usize);
            num_first += usize::from(num_before < 1);
            num_in_five += usize::from(num_before < 5);
        }
        let share = |num_right: usize| num_right as f64 / test_labels.len() as f64;
        KnnAccuracy { num_neighbors: asked, top1: share(num_first), top5: share(num_in_five) }
    };
    Ok(config.num_neighbors.iter().map(accuracy).collect())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn config(num_neighbors: usize, temperature: f64) -> WeightedKnnConfig {
        WeightedKnnConfig { num_neighbors: vec![num_neighbors], temperature }
    }

    #[test]
    fn a_near_neighbor_outvotes_two_far_ones_when_it_is_cold() {
        let train = array![[1.0_f32, 0.0], [0.0, 1.0], [0.0, 2.0]];
        let test = array![[1.0_f32, 0.2]];
        let top1 = |temperature| {
            let config = config(3, temperature);
            weighted_knn(train.view(), &[0, 1, 1], test.view(), &[0], &config).unwrap()[0].top1
        };
        // cos 0.981 against twice 0.196: exp(0.785 / t) is more than 2 up to t = 1.13.
        assert_eq!((top1(0.07), top1(1.0), top1(1.2)), (1.0, 1.0, 0.0));
    }

    #[test]
    fn five_classes_are_enough_for_the_top_five() {
        let train = array![[1.0_f32, 0.0], [1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4], [1.0, 0.5]];
        let test = array![[1.0_f32, 0.0], [1.0, 0.0]];
        let accuracy =
            weighted_knn(train.view(), &[0, 1, 2, 3, 4, 5], test.view(), &[4, 5], &config(6, 0.07)).unwrap();
        assert_eq!((accuracy[0].top1, accuracy[0].top5), (0.0, 0.5));
        // More neighbours than images are all of them.
        let all = weighted_knn(train.view(), &[0, 1, 2, 3, 4, 5], test.view(), &[4, 5], &config(200, 0.07));
        assert_eq!(all.unwrap()[0].top5, 0.5);
    }

    #[test]
    fn far_neighbors_vote_when_it_is_cold() {
        // cos -0.894 and -0.8: exp(-800) is 0 in f64, but the nearer one still has the greater weight.
        let (train, test) = (array![[-1.0_f32, 0.5], [-1.0, 0.75]], array![[1.0_f32, 0.0]]);
        let accuracy = weighted_knn(train.view(), &[0, 1], test.view(), &[1], &config(2, 0.001)).unwrap();
        assert_eq!(accuracy[0].top1, 1.0);
        // Label 6 is the fifth of six votes, whose weights differ by a factor of exp(20) and more: f32 holds
        // four.
        let angles = [0.0_f32, 0.3, 0.5, 0.6, 0.7, 0.8];
        let train = Array2::from_shape_fn((6, 2), |(row, axis)| [angles[row].cos(), angles[row].sin()][axis]);
        let labels = [10, 9, 8, 7, 6, 5];
        let accuracy = weighted_knn(train.view(), &labels, test.view(), &[6], &config(6, 0.002)).unwrap();
        assert_eq!(accuracy[0].top5, 1.0);
    }

    #[test]
    fn impossible_input_is_refused() {
        let rows = array![[1.0_f32, 0.0]];
        let run = |labels: &[u32], config: &WeightedKnnConfig| {
            weighted_knn(rows.view(), labels, rows.view(), &[0], config).unwrap_err()
        };
        assert!(matches!(run(&[], &config(1, 0.07)), EvaluationError::LengthMismatch { .. }));
        assert!(matches!(run(&[0], &config(0, 0.07)), EvaluationError::NumNeighbors { .. }));
        assert!(matches!(run(&[0], &config(1, f64::NAN)), EvaluationError::Temperature { .. }));
    }
}
