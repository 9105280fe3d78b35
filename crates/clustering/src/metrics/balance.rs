//! How evenly the samples are spread over the clusters.

use crate::assignments::Assignments;
use crate::clustering_algorithm::imbalance_factor;
use crate::error::ClusteringError;

/// Measures of the cluster sizes, made by [`cluster_balance`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterBalance {
    /// Clusters without a sample.
    pub num_empty: usize,
    /// Size of the smallest cluster, 0 if one is empty.
    pub smallest: usize,
    /// Size of the largest cluster.
    pub largest: usize,
    /// `num_clusters * sum(size^2) / num_samples^2`: 1 for equal sizes, `num_clusters` for a single full cluster; as
    /// in faiss.
    pub imbalance_factor: f64,
    /// Entropy of the fractions of samples, divided by `ln(num_clusters)`: 1 for equal sizes, 0 for a single full
    /// cluster among several. 1 if there is only one cluster.
    pub normalized_entropy: f64,
}

/// Measures how evenly the samples are spread over the clusters, empty ones included.
///
/// # Errors
/// - [`ClusteringError::NoLabels`]: there are no samples.
///
/// ```
/// use deepcluster_clustering::{Assignments, cluster_balance};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let balance = cluster_balance(&Assignments::new(vec![0, 0, 0, 1], 2)?)?;
/// assert_eq!((balance.smallest, balance.largest), (1, 3));
/// assert_eq!(balance.imbalance_factor, 1.25); // 2 * (9 + 1) / 16
/// # Ok(())
/// # }
/// ```
pub fn cluster_balance(assignments: &Assignments) -> Result<ClusterBalance, ClusteringError> {
    let sizes = assignments.cluster_sizes();
    let (Some(&smallest), Some(&largest), false) =
        (sizes.iter().min(), sizes.iter().max(), assignments.is_empty())
    else {
        return Err(ClusteringError::NoLabels);
    };
    Ok(ClusterBalance {
        num_empty: assignments.num_empty(),
        smallest,
        largest,
        imbalance_factor: imbalance_factor(&sizes),
        normalized_entropy: normalized_entropy(&sizes, assignments.len()),
    })
}

fn normalized_entropy(sizes: &[usize], num_samples: usize) -> f64 {
    if sizes.len() == 1 {
        return 1.0;
    }
    let fractions = sizes.iter().filter(|&&size| size > 0).map(|&size| size as f64 / num_samples as f64);
    let entropy: f64 = fractions.map(|fraction| -fraction * fraction.ln()).sum();
    (entropy / (sizes.len() as f64).ln()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(labels: Vec<u32>, num_clusters: usize) -> ClusterBalance {
        cluster_balance(&Assignments::new(labels, num_clusters).unwrap()).unwrap()
    }

    #[test]
    fn a_hand_computed_clustering_gives_each_measure() {
        let found = balance(vec![0, 0, 1, 3], 4);
        assert_eq!((found.num_empty, found.smallest, found.largest), (1, 0, 2));
        // 4 * (4 + 1 + 1) / 16
        assert_eq!(found.imbalance_factor, 1.5);
        // H = 1/2 ln 2 + 2 * 1/4 ln 4 = 3/2 ln 2, divided by ln 4 = 2 ln 2
        assert!((found.normalized_entropy - 0.75).abs() < 1e-15);
    }

    #[test]
    fn equal_sizes_and_a_single_full_cluster_are_the_ends_of_the_scale() {
        let even = balance(vec![0, 1, 2, 2, 1, 0], 3);
        assert_eq!((even.imbalance_factor, even.smallest, even.largest), (1.0, 2, 2));
        assert!((even.normalized_entropy - 1.0).abs() < 1e-15);
        let full = balance(vec![1, 1, 1], 3);
        assert_eq!((full.imbalance_factor, full.normalized_entropy, full.num_empty), (3.0, 0.0, 2));
        let only = balance(vec![0, 0], 1);
        assert_eq!((only.imbalance_factor, only.normalized_entropy), (1.0, 1.0));
    }

    #[test]
    fn no_samples_have_no_balance() {
        for num_clusters in [0, 3] {
            let none = Assignments::new(vec![], num_clusters).unwrap();
            assert!(matches!(cluster_balance(&none), Err(ClusteringError::NoLabels)));
        }
    }
}
