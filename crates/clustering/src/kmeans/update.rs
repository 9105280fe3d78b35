//! Moves every centroid to the mean of its samples.

use rayon::prelude::*;

use crate::feature_matrix::FeatureMatrix;

/// Samples summed by one task; larger clusters are cut at multiples of it, whatever the number of threads.
const MEMBERS_PER_CHUNK: usize = 2048;

/// Writes the mean of the rows of each cluster to `centroids`, `[num_clusters, dim]`, and gives the cluster sizes.
/// The centroid of an empty cluster stays as it is.
///
/// Sums are taken in `f64` over the members in ascending order, cut into chunks at fixed places, so the result does
/// not depend on the number of threads.
pub(crate) fn update(features: &FeatureMatrix<'_>, labels: &[u32], centroids: &mut [f32]) -> Vec<usize> {
    let dim = features.dim();
    let num_clusters = centroids.len() / dim;
    let (members, offsets) = sort_by_cluster(labels, num_clusters);
    centroids.par_chunks_mut(dim).zip(offsets.par_windows(2)).for_each_init(
        || vec![0.0_f64; dim],
        |sum, (centroid, range)| {
            let members = &members[range[0]..range[1]];
            if !members.is_empty() {
                sum_rows(features, members, sum);
                for (value, &total) in centroid.iter_mut().zip(sum.iter()) {
                    *value = (total / members.len() as f64) as f32;
                }
            }
        },
    );
    offsets.windows(2).map(|range| range[1] - range[0]).collect()
}

/// The samples grouped by cluster in ascending order, and where each group begins, `[num_clusters + 1]`.
fn sort_by_cluster(labels: &[u32], num_clusters: usize) -> (Vec<u32>, Vec<usize>) {
    let mut offsets = vec![0; num_clusters + 1];
    for &label in labels {
        offsets[label as usize + 1] += 1;
    }
    for cluster in 0..num_clusters {
        offsets[cluster + 1] += offsets[cluster];
    }
    let mut next = offsets.clone();
    let mut members = vec![0; labels.len()];
    for (sample, &label) in (0..).zip(labels) {
        let position = &mut next[label as usize];
        members[*position] = sample;
        *position += 1;
    }
    (members, offsets)
}

fn sum_rows(features: &FeatureMatrix<'_>, members: &[u32], sum: &mut [f64]) {
    sum.fill(0.0);
    if members.len() <= MEMBERS_PER_CHUNK {
        add_rows(features, members, sum);
        return;
    }
    let partial_sums: Vec<Vec<f64>> = members
        .par_chunks(MEMBERS_PER_CHUNK)
        .map(|chunk| {
            let mut partial = vec![0.0; features.dim()];
            add_rows(features, chunk, &mut partial);
            partial
        })
        .collect();
    for partial in partial_sums {
        for (total, value) in sum.iter_mut().zip(partial) {
            *total += value;
        }
    }
}

fn add_rows(features: &FeatureMatrix<'_>, members: &[u32], sum: &mut [f64]) {
    for &member in members {
        for (total, &value) in sum.iter_mut().zip(features.row(member as usize)) {
            *total += f64::from(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn centroids_move_to_the_means_and_empty_ones_stay() {
        let features = array![[0.0_f32, 2.0], [1.0, 1.0], [4.0, 6.0]];
        let matrix = FeatureMatrix::new(features.view()).unwrap();
        let mut centroids = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
        assert_eq!(update(&matrix, &[2, 0, 2], &mut centroids), [1, 0, 2]);
        // cluster 2: ((0 + 4) / 2, (2 + 6) / 2)
        assert_eq!(centroids, [1.0, 1.0, 9.0, 9.0, 2.0, 4.0]);
    }

    #[test]
    fn a_cluster_of_many_chunks_is_summed_whole() {
        // 0 + 1 + ... + 9999 = 9999 * 5000, mean 4999.5
        let features = Array2::from_shape_fn((10_000, 1), |(row, _)| row as f32);
        let matrix = FeatureMatrix::new(features.view()).unwrap();
        let mut centroids = [0.0];
        assert_eq!(update(&matrix, &vec![0; 10_000], &mut centroids), [10_000]);
        assert_eq!(centroids, [4999.5]);
    }
}
