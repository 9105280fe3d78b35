//! Measures of agreement, computed from the table of label pairs.

use rayon::prelude::*;

use super::contingency::{Cell, Contingency};
use crate::error::EvaluationError;

/// By which mean of the two entropies the mutual information is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NmiNorm {
    /// `(H(a) + H(b)) / 2`, the default of scikit-learn since version 0.22.
    Arithmetic,
    /// `sqrt(H(a) H(b))`, the default before and in the time of the paper.
    Geometric,
}

/// Normalised mutual information, `I(a, b) / mean(H(a), H(b))`, from 0 (independent) to 1 (equal up to
/// names).
///
/// Exactly 1 for labellings that are equal up to names, also if both are a single cluster. 0 where the mutual
/// information is not above rounding error.
///
/// # Errors
/// - [`EvaluationError::LengthMismatch`]: the labellings differ in length.
/// - [`EvaluationError::NoLabels`]: they are empty.
/// - [`EvaluationError::TooManySamples`]: they are longer than `u32::MAX`.
///
/// ```
/// use deepcluster_evaluation::{NmiNorm, nmi};
///
/// assert_eq!(nmi(&[0, 0, 1, 1], &[7, 7, 3, 3], NmiNorm::Arithmetic)?, 1.0);
/// assert_eq!(nmi(&[0, 0, 1, 1], &[0, 1, 0, 1], NmiNorm::Arithmetic)?, 0.0);
/// # Ok::<(), deepcluster_evaluation::EvaluationError>(())
/// ```
pub fn nmi(a: &[u32], b: &[u32], norm: NmiNorm) -> Result<f64, EvaluationError> {
    Ok(Contingency::new(a, b)?.nmi(norm))
}

/// Adjusted Rand index: the Rand index, scaled so that its expectation over random labellings with the same
/// cluster sizes is 0 and its maximum 1. Exactly 1 for labellings that are equal up to names.
///
/// # Errors
/// As [`nmi`].
pub fn adjusted_rand_index(a: &[u32], b: &[u32]) -> Result<f64, EvaluationError> {
    Ok(Contingency::new(a, b)?.adjusted_rand_index())
}

/// Fraction of samples that have the most frequent label of their cluster, above 0 and at most 1.
///
/// # Errors
/// As [`nmi`].
pub fn purity(assignments: &[u32], labels: &[u32]) -> Result<f64, EvaluationError> {
    Ok(Contingency::new(assignments, labels)?.purity())
}

/// Clustering accuracy (ACC): the fraction of samples whose cluster is matched with their label, in the
/// one-to-one matching of clusters with labels that makes it largest; above 0 and at most 1.
///
/// Unlike [`purity`] it does not rise just because there are more clusters: each label counts for one
/// cluster. The numbers of clusters and labels may differ; those without a partner count as wrong.
///
/// Exact, in integers. With `m` the smaller and `l` the larger number of labels, at most `m` searches for an
/// augmenting path of `O(c log c)` each, where `c <= min(m * l, num_samples)` is the number of pairs that
/// occur; most end early. Memory is `O(c)`. References: Kuhn, *The Hungarian method for the assignment
/// problem*, 1955; Yang et al., *Image Clustering Using Local Discriminant Models and Global Integration*,
/// 2010, for the measure.
///
/// # Errors
/// As [`nmi`].
///
/// ```
/// use deepcluster_evaluation::clustering_accuracy;
///
/// // Cluster 8 is matched with label 0, cluster 5 with label 1: the last sample is wrong.
/// assert_eq!(clustering_accuracy(&[8, 8, 5, 5], &[0, 0, 1, 0])?, 0.75);
/// # Ok::<(), deepcluster_evaluation::EvaluationError>(())
/// ```
pub fn clustering_accuracy(assignments: &[u32], labels: &[u32]) -> Result<f64, EvaluationError> {
    Ok(Contingency::new(assignments, labels)?.clustering_accuracy())
}

impl Contingency {
    /// Mutual information of the two labellings in nats, at least 0.
    fn mutual_information(&self) -> f64 {
        let num_samples = self.num_samples() as f64;
        let term = |cell: Cell| {
            let count = cell.count as f64;
            let expected = cell.first_size as f64 * (cell.second_size as f64 / num_samples);
            count / num_samples * (count / expected).ln()
        };
        let num_rows = self.first_sizes().len();
        let row_sums: Vec<f64> =
            (0..num_rows).into_par_iter().map(|row| self.sized_row(row).map(term).sum()).collect();
        row_sums.iter().sum::<f64>().max(0.0)
    }

    pub(super) fn nmi(&self, norm: NmiNorm) -> f64 {
        if self.is_same_partition() {
            return 1.0;
        }
        let information = self.mutual_information();
        if information <= f64::EPSILON {
            return 0.0;
        }
        let (first, second) = (self.entropy(self.first_sizes()), self.entropy(self.second_sizes()));
        let mean = match norm {
            NmiNorm::Arithmetic => (first + second) / 2.0,
            NmiNorm::Geometric => (first * second).sqrt(),
        };
        (information / mean).min(1.0)
    }

    pub(super) fn adjusted_rand_index(&self) -> f64 {
        if self.is_same_partition() {
            return 1.0;
        }
        let square = |count: u64| u128::from(count) * u128::from(count);
        let total = square(self.num_samples());
        let together: u128 = self.cells().iter().map(|cell| square(cell.2)).sum();
        let first: u128 = self.first_sizes().iter().map(|&size| square(size)).sum();
        let second: u128 = self.second_sizes().iter().map(|&size| square(size)).sum();
        // Ordered pairs of different samples: in one cluster in both labellings, in one only, in none.
        let both = (together - u128::from(self.num_samples())) as f64;
        let only_first = (first - together) as f64;
        let only_second = (second - together) as f64;
        let neither = (total + together - first - second) as f64;
        let numerator = 2.0 * (both * neither - only_first * only_second);
        let denominator =
            (both + only_first) * (only_first + neither) + (both + only_second) * (only_second + neither);
        (numerator / denominator).min(1.0)
    }

    pub(super) fn purity(&self) -> f64 {
        let most_frequent = self.rows().map(|row| row.iter().map(|cell| cell.2).max().unwrap_or(0));
        most_frequent.sum::<u64>() as f64 / self.num_samples() as f64
    }

    pub(super) fn clustering_accuracy(&self) -> f64 {
        self.matched_samples() as f64 / self.num_samples() as f64
    }

    fn entropy(&self, sizes: &[u64]) -> f64 {
        let fractions = sizes.iter().map(|&size| size as f64 / self.num_samples() as f64);
        -fractions.map(|fraction| fraction * fraction.ln()).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMS: [NmiNorm; 2] = [NmiNorm::Arithmetic, NmiNorm::Geometric];

    #[test]
    fn a_hand_computed_pair_of_labellings_gives_each_measure() {
        // Table: {0: 2 of a, 0 of b; 1: 1 of a, 1 of b}, n = 4.
        let (first, second) = ([0, 0, 1, 1], [0, 0, 0, 1]);
        // I = 2/4 ln(2*4 / (2*3)) + 1/4 ln(1*4 / (2*3)) + 1/4 ln(1*4 / (2*1))
        let information = 0.5 * (4.0_f64 / 3.0).ln() + 0.25 * (2.0_f64 / 3.0).ln() + 0.25 * 2.0_f64.ln();
        let first_entropy = 2.0_f64.ln();
        let second_entropy = -(0.75 * 0.75_f64.ln() + 0.25 * 0.25_f64.ln());
        let table = Contingency::new(&first, &second).unwrap();
        assert!((table.mutual_information() - information).abs() < 1e-15);
        let arithmetic = information / ((first_entropy + second_entropy) / 2.0);
        assert!((nmi(&first, &second, NmiNorm::Arithmetic).unwrap() - arithmetic).abs() < 1e-15);
        let geometric = information / (first_entropy * second_entropy).sqrt();
        assert!((nmi(&first, &second, NmiNorm::Geometric).unwrap() - geometric).abs() < 1e-15);
        // Pairs: together in both 1, only in the first 1, only in the second 2, in neither 2:
        // 2 (1*2 - 1*2) / ... = 0
        assert_eq!(adjusted_rand_index(&first, &second).unwrap(), 0.0);
        assert_eq!(purity(&first, &second).unwrap(), 0.75);
        // 0 with 0 and 1 with 1: 2 + 1 of 4
        assert_eq!(clustering_accuracy(&first, &second).unwrap(), 0.75);
    }

    #[test]
    fn each_label_counts_for_one_cluster_only_in_the_accuracy() {
        // Two pure clusters of label 0: only the larger is matched with it.
        let (clusters, labels) = ([4, 4, 4, 9, 9, 7], [0, 0, 0, 0, 0, 1]);
        assert_eq!(purity(&clusters, &labels).unwrap(), 1.0);
        assert_eq!(clustering_accuracy(&clusters, &labels).unwrap(), 4.0 / 6.0);
        assert_eq!(clustering_accuracy(&labels, &clusters).unwrap(), 4.0 / 6.0);
    }

    #[test]
    fn the_adjusted_rand_index_of_the_example_of_scikit_learn_is_reproduced() {
        // adjusted_rand_score([0, 0, 1, 2], [0, 0, 1, 1]) = 0.5714...: 2 (1*4 - 0*1) / (1*4 + 2*5) = 4/7
        let index = adjusted_rand_index(&[0, 0, 1, 2], &[0, 0, 1, 1]).unwrap();
        assert!((index - 4.0 / 7.0).abs() < 1e-15);
        // adjusted_rand_score([0, 0, 1, 1], [0, 1, 0, 1]) = -0.5
        assert!((adjusted_rand_index(&[0, 0, 1, 1], &[0, 1, 0, 1]).unwrap() + 0.5).abs() < 1e-15);
    }

    #[test]
    fn equal_partitions_agree_fully_whatever_their_names() {
        for (first, second) in [
            (vec![0, 0, 1, 2, 2], vec![9, 9, 4, 0, 0]),
            (vec![3, 3, 3], vec![0, 0, 0]),
            (vec![0, 1, 2], vec![2, 1, 0]),
            (vec![5], vec![1]),
        ] {
            for norm in NORMS {
                assert_eq!(nmi(&first, &second, norm).unwrap(), 1.0);
            }
            assert_eq!(adjusted_rand_index(&first, &second).unwrap(), 1.0);
            assert_eq!(purity(&first, &second).unwrap(), 1.0);
        }
    }

    #[test]
    fn a_single_cluster_tells_nothing_about_several() {
        for norm in NORMS {
            assert_eq!(nmi(&[0, 0, 0, 0], &[0, 1, 1, 2], norm).unwrap(), 0.0);
            assert_eq!(nmi(&[0, 1, 1, 2], &[0, 0, 0, 0], norm).unwrap(), 0.0);
        }
        assert_eq!(adjusted_rand_index(&[0, 0, 0, 0], &[0, 1, 1, 2]).unwrap(), 0.0);
        assert_eq!(adjusted_rand_index(&[0, 0, 0], &[0, 1, 2]).unwrap(), 0.0);
        assert_eq!(purity(&[0, 0, 0, 0], &[0, 1, 1, 2]).unwrap(), 0.5);
        assert_eq!(purity(&[0, 1, 1, 2], &[0, 0, 0, 0]).unwrap(), 1.0);
    }
}
