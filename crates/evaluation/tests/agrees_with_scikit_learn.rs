//! Measures of agreement against the figures of scikit-learn 1.9.1 and scipy on data given by a formula.
//!
//! The expected numbers are what this program prints:
//!
//! ```python
//! import numpy as np
//! from scipy.optimize import linear_sum_assignment
//! from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
//! from sklearn.metrics.cluster import contingency_matrix
//!
//! i = np.arange(600)
//! clusters = (i % 5 + (i % 11 == 0)) % 6
//! clusters[599] = 6
//! labels = (i * i + clusters) % 9
//! table = contingency_matrix(clusters, labels)
//! print(table[linear_sum_assignment(table, maximize=True)].sum())
//! print(normalized_mutual_info_score(clusters, labels), adjusted_rand_score(clusters, labels))
//! ```

use deepcluster_evaluation::{NmiNorm, adjusted_rand_index, clustering_accuracy, nmi};

const NUM_SAMPLES: u32 = 600;

fn clusters() -> Vec<u32> {
    let mut clusters: Vec<u32> = (0..NUM_SAMPLES).map(|i| (i % 5 + u32::from(i % 11 == 0)) % 6).collect();
    clusters[599] = 6; // alone
    clusters
}

fn labels() -> Vec<u32> {
    (0..).zip(clusters()).map(|(i, cluster)| (i * i + cluster) % 9).collect()
}

#[test]
fn agreement_of_two_labellings() {
    let (clusters, labels) = (clusters(), labels());
    assert_eq!(clustering_accuracy(&clusters, &labels).unwrap(), 200.0 / 600.0);
    assert!((nmi(&clusters, &labels, NmiNorm::Arithmetic).unwrap() - 0.40803500177936863).abs() < 1e-13);
    assert!((adjusted_rand_index(&clusters, &labels).unwrap() - 0.19061538489416457).abs() < 1e-13);
}
