//! Sums and extremes over the rows.

use burn::tensor::{Int, Tensor};
use deepcluster_clustering::ClusteringError;
use deepcluster_kernels::segment_sums;

use crate::features::device::features::DeviceFeatures;
use crate::features::device::read::{floats, int_vector, ints, matrix, vector};

/// The largest magnitude of all values.
pub(crate) fn largest_magnitude(features: &DeviceFeatures) -> Result<f32, ClusteringError> {
    Ok(column_maxima(features)?.iter().copied().fold(0.0, f32::max))
}

/// Bits of a signed 32-bit sum, less one: room for the one unit that a value may be rounded up by.
const SUM_BITS: u32 = 30;

/// The largest magnitude of each column.
pub(crate) fn column_maxima(features: &DeviceFeatures) -> Result<Vec<f32>, ClusteringError> {
    if let Some(maxima) = features.column_maxima.get() {
        return Ok(maxima.clone());
    }
    let maxima = features.chunks.iter().map(|chunk| chunk.rows(features.device()).abs().max_dim(0)).collect();
    let dim = features.feature_dim();
    let mut largest = vec![0.0_f32; dim];
    for row in floats(Tensor::cat(maxima, 0), "their largest values were sought")?.chunks_exact(dim) {
        largest.iter_mut().zip(row).for_each(|(largest, &value)| *largest = largest.max(value));
    }
    Ok(features.column_maxima.get_or_init(|| largest).clone())
}

/// The sum of squares of each row.
pub(crate) fn squared_norms(features: &DeviceFeatures) -> Result<Vec<f32>, ClusteringError> {
    let norms = features.chunks.iter().map(|chunk| {
        let rows = chunk.rows(features.device());
        (rows.clone() * rows).sum_dim(1)
    });
    floats(Tensor::cat(norms.collect(), 0), "their norms were computed")
}

/// The squared distance of each row to its centroid.
pub(crate) fn squared_distances(
    features: &DeviceFeatures,
    labels: &[u32],
    centroids: &[f32],
) -> Result<Vec<f32>, ClusteringError> {
    let device = features.device();
    let centroids = matrix(centroids.to_vec(), features.feature_dim(), device);
    let mut distances = Vec::new();
    for chunk in &features.chunks {
        let labels = labels[chunk.first..][..chunk.num_rows].iter().map(|&label| label as i32).collect();
        let differences = chunk.rows(device) - centroids.clone().select(0, int_vector(labels, device));
        distances.push((differences.clone() * differences).sum_dim(1));
    }
    floats(Tensor::cat(distances, 0), "distances were computed")
}

/// The exact sums of the rows of each label, in fixed-point numbers.
pub(crate) fn cluster_sums(
    features: &DeviceFeatures,
    labels: &[u32],
    num_clusters: usize,
    exponents: &[i32],
    bits: u32,
) -> Result<Vec<i64>, ClusteringError> {
    const DURING: &str = "clusters were added up";
    let (device, dim) = (features.device(), features.feature_dim());
    let low_bits = bits / 2;
    let high_bits = bits - low_bits;
    // Of so many values neither part of the sum is too large.
    let longest = 1 << (SUM_BITS - high_bits.max(low_bits));
    let scale = |&exponent: &i32| f64::from(exponent - low_bits as i32).exp2() as f32;
    let scales = vector(exponents.iter().map(scale).collect(), device);
    let mut parts: Vec<(Vec<u32>, Tensor<2, Int>, Tensor<2, Int>)> = Vec::new();
    for chunk in &features.chunks {
        let segments = Segments::of(&labels[chunk.first..][..chunk.num_rows], num_clusters, longest);
        let (order, starts) = (int_vector(segments.order, device), int_vector(segments.starts, device));
        let (high, low) = segment_sums(chunk.rows(device), order, starts, scales.clone(), low_bits);
        parts.push((segments.clusters, high, low));
    }
    let mut sums = vec![0_i64; num_clusters * dim];
    for (clusters, high, low) in parts {
        let (high, low) = (ints(high, DURING)?, ints(low, DURING)?);
        for (&cluster, (high, low)) in clusters.iter().zip(high.chunks_exact(dim).zip(low.chunks_exact(dim)))
        {
            let sums = sums[cluster as usize * dim..][..dim].iter_mut();
            for (sum, (&high, &low)) in sums.zip(high.iter().zip(low)) {
                *sum += (i64::from(high) << low_bits) + i64::from(low);
            }
        }
    }
    Ok(sums)
}

/// The rows of a chunk in the order of their clusters, cut so that no part is too long.
#[derive(Debug, PartialEq)]
struct Segments {
    order: Vec<i32>,
    starts: Vec<i32>,
    /// The cluster of each segment.
    clusters: Vec<u32>,
}

impl Segments {
    fn of(labels: &[u32], num_clusters: usize, longest: usize) -> Self {
        let mut ends = vec![0_usize; num_clusters];
        for &label in labels {
            ends[label as usize] += 1;
        }
        let (mut starts, mut clusters, mut end) = (Vec::new(), Vec::new(), 0);
        for (cluster, size) in (0..).zip(&mut ends) {
            let first = end;
            end += *size;
            for start in (first..end).step_by(longest) {
                starts.push(start as i32);
                clusters.push(cluster);
            }
            *size = first;
        }
        starts.push(end as i32);
        let mut places = ends;
        let mut order = vec![0; labels.len()];
        for (row, &label) in (0..).zip(labels) {
            let place = &mut places[label as usize];
            order[*place] = row;
            *place += 1;
        }
        Self { order, starts, clusters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ordered_by_cluster_and_cut_where_there_are_too_many() {
        let segments = Segments::of(&[2, 0, 2, 2, 0, 4, 2, 2], 5, 2);
        assert_eq!(segments.order, [1, 4, 0, 2, 3, 6, 7, 5]);
        assert_eq!(segments.starts, [0, 2, 4, 6, 7, 8]);
        assert_eq!(segments.clusters, [0, 2, 2, 2, 4]);
        assert_eq!(Segments::of(&[], 3, 2), Segments { order: vec![], starts: vec![0], clusters: vec![] });
    }
}
