//! Leave-one-out nearest-neighbour classification.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use deepcluster_clustering::nearest_neighbors;
use ndarray::{Array2, ArrayView2, Axis};

use crate::error::EvaluationError;

/// Share of the labelled samples whose `num_neighbors` nearest other labelled samples vote for their own
/// label.
///
/// Neighbours are found by cosine similarity: the rows of `features`, `[num_samples, feature_dim]`, are
/// L2-normalised. Each neighbour has one vote; among labels with equally many votes the one of the nearer
/// neighbour wins. Nothing is fitted, so a change between two networks is a change of their features.
///
/// # Errors
/// - [`EvaluationError::LengthMismatch`]: not one entry of `labels` per row.
/// - [`EvaluationError::NumNeighbors`]: `num_neighbors` is 0 or not below the number of labelled samples.
/// - [`EvaluationError::Clustering`]: a feature is not finite.
pub fn knn_accuracy(
    features: ArrayView2<'_, f32>,
    labels: &[Option<u32>],
    num_neighbors: usize,
) -> Result<f64, EvaluationError> {
    let (num_samples, num_labels) = (features.nrows(), labels.len());
    if num_samples != num_labels {
        return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
    }
    let (rows, labels): (Vec<usize>, Vec<u32>) =
        labels.iter().enumerate().filter_map(|(row, &label)| Some((row, label?))).unzip();
    let allowed = rows.len().saturating_sub(1);
    if num_neighbors == 0 || num_neighbors > allowed {
        return Err(EvaluationError::NumNeighbors { num_neighbors, allowed });
    }
    let normalized = normalized_rows(features.select(Axis(0), &rows).view());
    let neighbors = nearest_neighbors(normalized.view(), normalized.view(), num_neighbors, true)?;
    let votes = neighbors.indices.rows().into_iter();
    let votes = votes.map(|neighbors| vote(neighbors.iter().map(|&neighbor| labels[neighbor as usize])));
    let num_right = votes.zip(&labels).filter(|(vote, label)| *vote == Some(**label)).count();
    Ok(num_right as f64 / labels.len() as f64)
}

/// The rows of `features` at length 1; rows of zeros stay as they are.
pub fn normalized_rows(features: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut normalized = features.to_owned();
    for mut row in normalized.rows_mut() {
        let norm = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.mapv_inplace(|value| (f64::from(value) / norm) as f32);
        }
    }
    normalized
}

/// The most frequent of `labels`, which come nearest first; among equally frequent ones that which comes
/// first.
fn vote(labels: impl Iterator<Item = u32>) -> Option<u32> {
    let mut votes: BTreeMap<u32, (usize, usize)> = BTreeMap::new(); // label -> (votes, rank of the nearest)
    for (rank, label) in labels.enumerate() {
        votes.entry(label).or_insert((0, rank)).0 += 1;
    }
    votes.into_iter().max_by_key(|(_, (count, rank))| (*count, Reverse(*rank))).map(|(label, _)| label)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn direction_counts_and_length_does_not() {
        // Two directions with lengths 1 and 100; the row of the other label points almost along the first.
        let features = array![[1.0_f32, 0.0], [100.0, 1.0], [0.0, 1.0], [1.0, 100.0]];
        let labels = [Some(0), Some(0), Some(1), Some(1)];
        assert_eq!(knn_accuracy(features.view(), &labels, 1).unwrap(), 1.0);
        // With three neighbours the two of the other label always win.
        assert_eq!(knn_accuracy(features.view(), &labels, 3).unwrap(), 0.0);
    }

    #[test]
    fn ties_go_to_the_nearest_and_unlabelled_rows_do_not_vote() {
        assert_eq!(vote([7, 3, 3, 7].into_iter()), Some(7));
        assert_eq!(vote([3, 7, 7].into_iter()), Some(7));
        let features = array![[1.0_f32, 0.0], [1.0, 0.01], [1.0, 0.02], [0.0, 1.0], [0.01, 1.0]];
        // Row 1 would be the nearest of rows 0 and 2, but has no label.
        let labels = [Some(0), None, Some(0), Some(1), Some(1)];
        assert_eq!(knn_accuracy(features.view(), &labels, 1).unwrap(), 1.0);
    }

    #[test]
    fn impossible_numbers_of_neighbors_are_refused() {
        let features = array![[1.0_f32], [2.0], [3.0]];
        let labels = [Some(0), Some(1), None];
        for num_neighbors in [0, 2] {
            let error = knn_accuracy(features.view(), &labels, num_neighbors).unwrap_err();
            assert!(matches!(error, EvaluationError::NumNeighbors { allowed: 1, .. }), "{error}");
        }
    }
}
