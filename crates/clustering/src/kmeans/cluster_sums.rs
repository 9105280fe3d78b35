//! Sums of the samples of each cluster, in fixed-point numbers.
//!
//! Integers add up to the same sum in any order. So threads may share the work as they like, and a sample
//! that moves to another cluster is taken from one sum and added to the other without a trace: a pass costs
//! only the samples that move. Each column has its own scale, a power of two, so that a value keeps at least
//! `min(50, 61 - log2(num_samples))` bits of the largest value of its column: for a million samples 41 bits,
//! where `f32` has 24.

use crate::error::ClusteringError;
use crate::rows::checked::checked_column_maxima;
use crate::rows::matrix::FeatureMatrix;

/// Largest number of bits of a value: `ROUNDER` turns up to 51 bits and a sign into an integer.
const MAX_BITS: i32 = 50;

/// Bits of a sum of all samples.
const SUM_BITS: i32 = 61;

/// Mean weight of the samples of a cluster, scaled, below which its sums are not exact enough.
const LIGHT_WEIGHT: i64 = 1 << 26;

/// `x + ROUNDER` has `x`, rounded to an integer, in its lowest bits, for `|x|` up to 2^51.
const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

/// How the values of each column become integers.
#[derive(Debug)]
pub(super) struct FixedPoint {
    /// A power of two for each column.
    scales: Vec<f64>,
    weight_scale: f64,
    bits: u32,
}

/// Sums and sizes of all clusters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClusterSums {
    /// `[num_clusters, dim]`, scaled.
    sums: Vec<i64>,
    /// Sum of the weights of the samples, scaled.
    weights: Vec<i64>,
    /// Number of samples with a weight above 0.
    sizes: Vec<i64>,
    dim: usize,
}

/// Whether a sample comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Joins = 1,
    Leaves = -1,
}

impl FixedPoint {
    /// For at most `num_samples` samples whose columns have no larger magnitude than `column_maxima` and
    /// whose weights are at most `largest_weight`.
    pub(super) fn new(column_maxima: &[f32], largest_weight: f32, num_samples: usize) -> Self {
        let log_samples = num_samples.next_power_of_two().trailing_zeros() as i32;
        let bits = MAX_BITS.min(SUM_BITS - log_samples);
        let scale = |largest: f64| if largest > 0.0 { exp2(bits - exponent_above(largest)) } else { 1.0 };
        Self {
            scales: column_maxima
                .iter()
                .map(|&largest| scale(f64::from(largest) * f64::from(largest_weight)))
                .collect(),
            weight_scale: scale(f64::from(largest_weight)),
            bits: bits as u32,
        }
    }

    /// The binary logarithms of the scales of the columns.
    pub(super) fn exponents(&self) -> Vec<i32> {
        self.scales.iter().map(|scale| scale.log2() as i32).collect()
    }

    /// Most bits of a scaled value.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }
}

impl ClusterSums {
    pub(super) fn zeros(num_clusters: usize, dim: usize) -> Self {
        Self {
            sums: vec![0; num_clusters * dim],
            weights: vec![0; num_clusters],
            sizes: vec![0; num_clusters],
            dim,
        }
    }

    /// Those of samples without weights, whose sums, `[num_clusters, dim]`, were added up elsewhere.
    pub(super) fn from_sums(scale: &FixedPoint, sums: Vec<i64>, labels: &[u32], num_clusters: usize) -> Self {
        let mut sizes = vec![0; num_clusters];
        for &label in labels {
            sizes[label as usize] += 1;
        }
        let weight = to_integer(scale.weight_scale);
        let weights = sizes.iter().map(|size| size * weight).collect();
        Self { dim: sums.len() / num_clusters.max(1), sums, weights, sizes }
    }

    /// Bytes of the sums of so many clusters.
    pub(super) fn num_bytes(num_clusters: usize, dim: usize) -> usize {
        num_clusters.saturating_mul(8 * (dim + 2))
    }

    /// Notes that a sample of this `weight` joins or leaves `cluster`.
    #[inline(always)]
    pub(super) fn change(
        &mut self,
        scale: &FixedPoint,
        cluster: u32,
        row: &[f32],
        weight: f32,
        change: Change,
    ) {
        let cluster = cluster as usize;
        let sign = change as i64;
        let weight = f64::from(weight);
        let sums = &mut self.sums[cluster * self.dim..][..self.dim];
        for ((sum, &value), &scale) in sums.iter_mut().zip(row).zip(&scale.scales) {
            *sum += sign * to_integer(f64::from(value) * weight * scale);
        }
        self.weights[cluster] += sign * to_integer(weight * scale.weight_scale);
        self.sizes[cluster] += sign * i64::from(weight > 0.0);
    }

    /// Adds the sums of `other` and sets them to zero.
    pub(super) fn take(&mut self, other: &mut Self) {
        let pairs = [
            (&mut self.sums, &mut other.sums),
            (&mut self.weights, &mut other.weights),
            (&mut self.sizes, &mut other.sizes),
        ];
        for (sums, others) in pairs {
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum += std::mem::take(other);
            }
        }
    }

    /// Clusters whose samples weigh so little beside the heaviest of all that their means lose more than the
    /// last bits of `f32`: rounding moves a weight, and a value beside the greatest of its column, by up to
    /// half a unit for each sample.
    pub(super) fn light_clusters(&self) -> Vec<u32> {
        let is_light =
            |(_, (weight, size)): &(u32, (&i64, &i64))| **size > 0 && **weight / **size < LIGHT_WEIGHT;
        (0..).zip(self.weights.iter().zip(&self.sizes)).filter(is_light).map(|(cluster, _)| cluster).collect()
    }

    /// Writes the weighted mean of each cluster to `centroids`, `[num_clusters, dim]`; that of a cluster
    /// without weight stays. Returns the number of samples of each.
    pub(super) fn write_means(&self, scale: &FixedPoint, centroids: &mut [f32]) -> Vec<usize> {
        let clusters = centroids.chunks_exact_mut(self.dim).zip(self.sums.chunks_exact(self.dim));
        for ((centroid, sums), &weight) in clusters.zip(&self.weights) {
            if weight > 0 {
                let total = weight as f64 / scale.weight_scale;
                for ((value, &sum), &scale) in centroid.iter_mut().zip(sums).zip(&scale.scales) {
                    *value = (sum as f64 / scale / total) as f32;
                }
            }
        }
        self.sizes.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect()
    }
}

/// Checks the weights of `num_samples` samples and returns the largest.
pub(super) fn check_weights(weights: &[f32], num_samples: usize) -> Result<f32, ClusteringError> {
    if weights.len() != num_samples {
        let (expected, actual) = (num_samples, weights.len());
        return Err(ClusteringError::DimensionMismatch {
            what: "the number of sample weights",
            expected,
            actual,
        });
    }
    let is_sound = |weight: f32| (0.0..=f32::MAX).contains(&weight);
    if let Some(row) = weights.iter().position(|&weight| !is_sound(weight)) {
        return Err(ClusteringError::InvalidWeight { row, value: weights[row] });
    }
    let largest = weights.iter().copied().fold(0.0, f32::max);
    if largest == 0.0 {
        return Err(ClusteringError::InvalidWeight { row: 0, value: 0.0 });
    }
    Ok(largest)
}

/// Writes the mean of the rows of each cluster to `centroids`, `[num_clusters, dim]`; that of an empty
/// cluster stays.
///
/// # Errors
/// Those of a feature that is not sound, which a checked matrix does not have.
pub(crate) fn cluster_means(
    features: &FeatureMatrix<'_>,
    labels: &[u32],
    centroids: &mut [f32],
) -> Result<(), ClusteringError> {
    let dim = features.dim();
    let scale = FixedPoint::new(&checked_column_maxima(features)?, 1.0, labels.len());
    let mut sums = ClusterSums::zeros(centroids.len() / dim, dim);
    for (row, &label) in features.as_slice().chunks_exact(dim).zip(labels) {
        sums.change(&scale, label, row, 1.0, Change::Joins);
    }
    sums.write_means(&scale, centroids);
    Ok(())
}

#[inline(always)]
fn to_integer(value: f64) -> i64 {
    (value + ROUNDER).to_bits() as i64 - ROUNDER.to_bits() as i64
}

/// The least exponent `e` with `value <= 2^e`, for a positive normal number.
fn exponent_above(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    if bits & ((1 << 52) - 1) == 0 { exponent } else { exponent + 1 }
}

/// `2^exponent`, for normal results.
fn exp2(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [[f32; 2]; 3] = [[0.0, 2.0], [1.0, 1.0], [4.0, 6.0]];

    fn sums_of(labels: &[u32], weights: [f32; 3], num_clusters: usize) -> (FixedPoint, ClusterSums) {
        let scale = FixedPoint::new(&[4.0, 6.0], weights.into_iter().fold(0.0, f32::max), 3);
        let mut sums = ClusterSums::zeros(num_clusters, 2);
        for ((row, &label), weight) in ROWS.iter().zip(labels).zip(weights) {
            sums.change(&scale, label, row, weight, Change::Joins);
        }
        (scale, sums)
    }

    #[test]
    fn centroids_move_to_the_means_and_empty_ones_stay() {
        let (scale, sums) = sums_of(&[2, 0, 2], [1.0; 3], 3);
        let mut centroids = [9.0; 6];
        assert_eq!(sums.write_means(&scale, &mut centroids), [1, 0, 2]);
        // cluster 2: ((0 + 4) / 2, (2 + 6) / 2)
        assert_eq!(centroids, [1.0, 1.0, 9.0, 9.0, 2.0, 4.0]);
    }

    #[test]
    fn weights_pull_the_mean_and_samples_without_weight_do_not_count() {
        let (scale, sums) = sums_of(&[0, 1, 0], [3.0, 0.0, 1.0], 2);
        let mut centroids = [9.0; 4];
        assert_eq!(sums.write_means(&scale, &mut centroids), [2, 0]);
        // (3 * 0 + 4) / 4, (3 * 2 + 6) / 4
        assert_eq!(centroids, [1.0, 3.0, 9.0, 9.0]);
    }

    #[test]
    fn samples_leave_without_a_trace_and_parts_add_up() {
        let (scale, mut sums) = sums_of(&[0, 1, 1], [0.1, 0.7, 0.3], 2);
        let (_, expected) = sums_of(&[0, 0, 1], [0.1, 0.7, 0.3], 2);
        let mut part = ClusterSums::zeros(2, 2);
        part.change(&scale, 1, &ROWS[1], 0.7, Change::Leaves);
        part.change(&scale, 0, &ROWS[1], 0.7, Change::Joins);
        sums.take(&mut part);
        assert_eq!(sums, expected);
        assert_eq!(part, ClusterSums::zeros(2, 2));
    }

    #[test]
    fn columns_of_any_size_keep_their_digits() {
        for size in [1e-44_f32, 1e-30, 1e-5, 1.0, 1e18] {
            let rows = [[size], [size * 0.75], [size * 0.125]];
            let scale = FixedPoint::new(&[size], 1.0, 1 << 20);
            let mut sums = ClusterSums::zeros(1, 1);
            for row in &rows {
                sums.change(&scale, 0, row, 1.0, Change::Joins);
            }
            let mut mean = [0.0];
            sums.write_means(&scale, &mut mean);
            let expected = rows.iter().map(|row| f64::from(row[0])).sum::<f64>() / 3.0;
            assert!((f64::from(mean[0]) - expected).abs() <= 1e-7 * expected + 1e-45, "{size}");
        }
    }

    #[test]
    fn the_largest_sum_fits() {
        let num_samples = 1_usize << 32;
        let scale = FixedPoint::new(&[1.5], 1.0, num_samples);
        let mut sums = ClusterSums::zeros(1, 1);
        sums.change(&scale, 0, &[1.5], 1.0, Change::Joins);
        assert!(sums.sums[0].checked_mul(num_samples as i64).is_some());
    }

    #[test]
    fn bad_weights_are_named() {
        assert_eq!(check_weights(&[0.5, 2.0], 2).unwrap(), 2.0);
        assert!(matches!(check_weights(&[1.0], 2), Err(ClusteringError::DimensionMismatch { .. })));
        for bad in [-1.0, f32::NAN, f32::INFINITY] {
            let error = check_weights(&[1.0, bad], 2).unwrap_err();
            assert!(matches!(error, ClusteringError::InvalidWeight { row: 1, .. }));
        }
        assert!(matches!(check_weights(&[0.0, 0.0], 2), Err(ClusteringError::InvalidWeight { row: 0, .. })));
    }
}
