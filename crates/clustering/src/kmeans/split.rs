//! Refills empty clusters by splitting others, with the rule of faiss.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Each call draws from the same seed, as faiss does, so that equal states are split equally.
const SEED: u64 = 1234;

/// Relative displacement of the two halves.
const DISPLACEMENT: f32 = 1.0 / 1024.0;

/// Walks over the clusters in search of a donor before the largest cluster is taken. One walk finds a donor
/// with probability `1 - 1/e` or more, so this many fail only where rounding or equal sizes forbid every
/// donor.
const MAX_WALKS: usize = 20;

/// Splits one other cluster for every empty one and returns the number of splits.
///
/// `centroids` is `[num_clusters, dim]`, `sizes` the number of samples of each cluster. A donor is sought
/// cyclically from the first cluster and accepted with probability `(size - 1) / (num_samples -
/// num_clusters)`. The donor and its copy are moved apart by the factors `1 - 1/1024` and `1 + 1/1024`, which
/// change places from one dimension to the next, and each is counted with half of the samples.
pub(super) fn split_clusters(centroids: &mut [f32], sizes: &mut [usize], dim: usize) -> usize {
    let empty: Vec<usize> = (0..sizes.len()).filter(|&cluster| sizes[cluster] == 0).collect();
    let mut generator = ChaCha8Rng::seed_from_u64(SEED);
    for &cluster in &empty {
        let donor = choose_donor(sizes, &mut generator);
        let source: Vec<f32> = centroids[donor * dim..][..dim].to_vec();
        for (i, value) in source.into_iter().enumerate() {
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            centroids[cluster * dim + i] = value * (1.0 + sign * DISPLACEMENT);
            centroids[donor * dim + i] = value * (1.0 - sign * DISPLACEMENT);
        }
        sizes[cluster] = sizes[donor] / 2;
        sizes[donor] -= sizes[cluster];
    }
    empty.len()
}

fn choose_donor(sizes: &[usize], generator: &mut ChaCha8Rng) -> usize {
    let num_spare = sizes.iter().sum::<usize>().saturating_sub(sizes.len()).max(1);
    for _ in 0..MAX_WALKS {
        for (cluster, &size) in sizes.iter().enumerate() {
            let probability = size.saturating_sub(1) as f64 / num_spare as f64;
            if generator.random::<f64>() < probability {
                return cluster;
            }
        }
    }
    (0..sizes.len()).rev().max_by_key(|&cluster| sizes[cluster]).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_move_apart_in_alternating_directions() {
        // 2 clusters, 10 samples, all in cluster 1: the only possible donor.
        let mut centroids = [9.0, 9.0, 9.0, 1024.0, 2048.0, -1024.0];
        let mut sizes = [0, 10];
        assert_eq!(split_clusters(&mut centroids, &mut sizes, 3), 1);
        assert_eq!(centroids, [1025.0, 2046.0, -1025.0, 1023.0, 2050.0, -1023.0]);
        assert_eq!(sizes, [5, 5]);
    }

    #[test]
    fn full_clusters_are_left_alone() {
        let mut centroids = [1.0, 2.0];
        let mut sizes = [3, 1];
        assert_eq!(split_clusters(&mut centroids, &mut sizes, 1), 0);
        assert_eq!(centroids, [1.0, 2.0]);
    }

    #[test]
    fn as_many_samples_as_clusters_still_find_a_donor() {
        // num_samples - num_clusters = 0, where the rule of faiss divides by zero.
        let mut centroids = [1.0, 2.0, 3.0];
        let mut sizes = [1, 0, 2];
        assert_eq!(split_clusters(&mut centroids, &mut sizes, 1), 1);
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn many_empty_clusters_share_the_samples_of_one() {
        let mut centroids = vec![1.0; 64];
        let mut sizes = vec![0; 64];
        sizes[63] = 64;
        assert_eq!(split_clusters(&mut centroids, &mut sizes, 1), 63);
        assert_eq!(sizes.iter().sum::<usize>(), 64);
        assert!(sizes.iter().all(|&size| size > 0));
    }

    #[test]
    fn donors_are_chosen_in_proportion_to_their_spare_samples() {
        // 1 + 30 + 70 samples, 3 clusters: accepted with 0, 29/98 and 69/98.
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let mut chosen = [0; 3];
        for _ in 0..20_000 {
            chosen[choose_donor(&[1, 30, 70], &mut generator)] += 1;
        }
        // The walk starts at the first cluster: cluster 1 wins p1 / (p1 + (1 - p1) p2) = 0.3740 of the time.
        assert_eq!(chosen[0], 0);
        assert!((f64::from(chosen[1]) / 20_000.0 - 0.3740).abs() < 0.02, "{chosen:?}");
    }
}
