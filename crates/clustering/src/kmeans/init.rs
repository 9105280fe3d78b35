//! Initial centroids: distinct samples chosen at random.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::feature_matrix::FeatureMatrix;

/// The first `num_clusters` rows of a random permutation of the samples, one after the other.
pub(super) fn random_rows(features: &FeatureMatrix<'_>, num_clusters: usize, seed: u64) -> Vec<f32> {
    let rows = distinct_indices(features.num_rows(), num_clusters, seed);
    rows.into_iter().flat_map(|row| features.row(row as usize).iter().copied()).collect()
}

/// The first `count` steps of a Fisher-Yates shuffle of `0..num_rows`.
fn distinct_indices(num_rows: usize, count: usize, seed: u64) -> Vec<u32> {
    let num_rows =
        u32::try_from(num_rows).expect("the feature matrix was checked to have at most 2^32 - 1 rows");
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<u32> = (0..num_rows).collect();
    for position in 0..count as u32 {
        let chosen = generator.random_range(position..num_rows);
        order.swap(position as usize, chosen as usize);
    }
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_rows_are_distinct_and_depend_on_the_seed() {
        let chosen = distinct_indices(50, 20, 3);
        let mut sorted = chosen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 20);
        assert!(sorted.iter().all(|&row| row < 50));
        assert_eq!(chosen, distinct_indices(50, 20, 3));
        assert_ne!(chosen, distinct_indices(50, 20, 4));
    }

    #[test]
    fn as_many_centroids_as_rows_take_every_row() {
        let mut chosen = distinct_indices(8, 8, 1);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
