//! The lists of lowest scores.

use burn::tensor::Tensor;
use deepcluster_clustering::{ClusteringError, ScoreLists, ScoredRows};
use deepcluster_kernels::{Magnitudes, nearest_rows, score_error};

use crate::features::device::features::{DeviceFeatures, row_blocks};
use crate::features::device::read::{floats, ints, matrix, vector};
use crate::features::device::sums::largest_magnitude;

/// Most rows of the database at a time, whose numbers the search can tell apart.
const MOST_ENTRIES: usize = 1 << 24;

const DURING: &str = "nearest rows were sought";

/// A part of the database on the device.
struct Part {
    /// Number of its first row among all.
    first: usize,
    entries: Tensor<2>,
    half_norms: Tensor<1>,
    /// The largest magnitude of its values.
    largest: f32,
}

/// The lowest scores of each row.
pub(crate) fn lowest_scores(
    features: &DeviceFeatures,
    database: ScoredRows<'_>,
    count: usize,
) -> Result<ScoreLists, ClusteringError> {
    let dim = features.feature_dim();
    let mut lists = ScoreLists {
        count,
        indices: vec![0; features.len() * count],
        scores: vec![f32::MAX; features.len() * count],
        relative_error: score_error(dim),
    };
    match database {
        ScoredRows::Given(entries) => {
            for (part, entries) in entries.chunks(MOST_ENTRIES * dim).enumerate() {
                compare(features, &given_part(features, part * MOST_ENTRIES, entries), &mut lists)?;
            }
        }
        ScoredRows::Own => {
            for chunk in &features.chunks {
                let firsts = (chunk.first..).step_by(MOST_ENTRIES);
                for (first, entries) in firsts.zip(row_blocks(chunk.rows(features.device()), MOST_ENTRIES)) {
                    let half_norms = (entries.clone() * entries.clone()).sum_dim(1).squeeze_dim::<1>(1) * 0.5;
                    let part = Part { first, entries, half_norms, largest: largest_magnitude(features)? };
                    compare(features, &part, &mut lists)?;
                }
            }
        }
    }
    Ok(lists)
}

fn given_part(features: &DeviceFeatures, first: usize, entries: &[f32]) -> Part {
    let (device, dim) = (features.device(), features.feature_dim());
    let half_norm = |entry: &[f32]| entry.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / 2.0;
    let half_norms = entries.chunks_exact(dim).map(|entry| half_norm(entry) as f32).collect();
    let largest = entries.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    Part {
        first,
        entries: matrix(entries.to_vec(), dim, device),
        half_norms: vector(half_norms, device),
        largest,
    }
}

/// Compares all rows with a part of the database; what it finds joins the lists.
fn compare(features: &DeviceFeatures, part: &Part, lists: &mut ScoreLists) -> Result<(), ClusteringError> {
    let count = lists.count;
    let magnitudes = Some(Magnitudes { rows: largest_magnitude(features)?, database: part.largest });
    // All chunks are queued before the first is read, so that the device does not wait for the host.
    let answers: Vec<_> = features
        .chunks
        .iter()
        .map(|chunk| {
            let rows = chunk.rows(features.device());
            (
                chunk.first,
                nearest_rows(rows, part.entries.clone(), part.half_norms.clone(), count, magnitudes),
            )
        })
        .collect();
    for (first, (indices, scores)) in answers {
        let (indices, scores) = (ints(indices, DURING)?, floats(scores, DURING)?);
        let new = indices.chunks_exact(count).zip(scores.chunks_exact(count));
        let listed = lists.indices[first * count..].chunks_exact_mut(count);
        for ((indices, scores), (listed, listed_scores)) in
            new.zip(listed.zip(lists.scores[first * count..].chunks_exact_mut(count)))
        {
            merge(listed, listed_scores, part.first, indices, scores);
        }
    }
    Ok(())
}

/// Merges two lists in ascending order into the first.
fn merge(listed: &mut [u32], listed_scores: &mut [f32], first: usize, indices: &[i32], scores: &[f32]) {
    for (&index, &score) in indices.iter().zip(scores) {
        let place = listed_scores.partition_point(|&better| better <= score);
        if place == listed.len() {
            break;
        }
        listed_scores[place..].rotate_right(1);
        listed[place..].rotate_right(1);
        (listed_scores[place], listed[place]) = (score, (first + index as usize) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_parts_become_one() {
        let (mut listed, mut scores) = (vec![0; 3], vec![f32::MAX; 3]);
        merge(&mut listed, &mut scores, 0, &[4, 1, 0], &[0.5, 2.0, f32::MAX]);
        assert_eq!((&listed[..2], &scores[..]), (&[4, 1][..], &[0.5, 2.0, f32::MAX][..]));
        merge(&mut listed, &mut scores, 100, &[7, 3, 5], &[0.1, 0.5, 9.0]);
        assert_eq!((listed, scores), (vec![107, 4, 103], vec![0.1, 0.5, 0.5]));
    }
}
