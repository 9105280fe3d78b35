//! The choice of the initial centroids.

mod afk_mc2;
mod plus_plus;
mod random;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::samples::Samples;
use crate::kmeans::config::{Initialization, KMeansConfig};
use crate::rows::distance::squared_distance;
pub(super) use random::distinct_indices;

/// The initial centroids of a run, `[num_clusters, dim]`: copies of different samples.
pub(super) fn initial_centroids(config: &KMeansConfig, samples: &Samples<'_>, seed: u64) -> Vec<f32> {
    let num_clusters = config.num_clusters;
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let chosen = match config.initialization {
        Initialization::Random => distinct_indices(samples.len(), num_clusters, seed),
        Initialization::KMeansPlusPlus => plus_plus::choose(samples, num_clusters, &mut generator),
        Initialization::AfkMc2 => afk_mc2::choose(samples, num_clusters, config.chain_length, &mut generator),
    };
    samples.gather(chosen)
}

/// Squared distances of all samples to `centroid`, each times the weight of its sample.
fn weighted_distances(samples: &Samples<'_>, centroid: &[f32]) -> Vec<f64> {
    let mut distances = vec![f64::INFINITY; samples.len()];
    plus_plus::lower_distances(samples, centroid, &mut distances);
    distances
}

/// The first position at which the sum of `values` up to and with it exceeds `target`, skipping zeros; the
/// last that is not 0 if rounding keeps the sum below.
fn position_of_sum(values: &[f64], target: f64) -> Option<usize> {
    let mut sum = 0.0;
    let mut last = None;
    for (position, &value) in values.iter().enumerate() {
        if value > 0.0 {
            sum += value;
            last = Some(position);
            if sum > target {
                break;
            }
        }
    }
    last
}

/// Squared distance of `row` to the nearest of `centroids`, `[num_centroids, dim]`.
fn distance_to_nearest(row: &[f32], centroids: &[f32]) -> f64 {
    let distances = centroids.chunks_exact(row.len()).map(|centroid| squared_distance(row, centroid));
    distances.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use std::collections::HashSet;

    use super::*;

    /// Ten far groups of 40 close points each.
    fn groups() -> Array2<f32> {
        Array2::from_shape_fn((400, 2), |(i, j)| {
            let (group, member) = (i % 10, i / 10);
            100.0 * (if j == 0 { group % 4 } else { group / 4 }) as f32
                + ((member * 7 + j * 3) % 11) as f32 / 10.0
        })
    }

    fn groups_hit(initialization: Initialization, weights: Option<&[f32]>) -> usize {
        let features = groups();
        let view = features.view();
        let samples = Samples::new(&view, weights).unwrap();
        let config = KMeansConfig { num_clusters: 10, initialization, ..Default::default() };
        let centroids = initial_centroids(&config, &samples, 3);
        assert_eq!(centroids.len(), 20);
        let key = |row: &[f32]| ((row[0] / 100.0) as i32, (row[1] / 100.0) as i32);
        centroids.chunks(2).map(key).collect::<HashSet<_>>().len()
    }

    #[test]
    fn careful_seeding_finds_every_far_group() {
        assert_eq!(groups_hit(Initialization::KMeansPlusPlus, None), 10);
        assert_eq!(groups_hit(Initialization::AfkMc2, None), 10);
        assert!(groups_hit(Initialization::Random, None) < 10);
    }

    #[test]
    fn samples_without_weight_are_not_chosen_as_long_as_there_are_others() {
        let weights: Vec<f32> = (0..400).map(|i| if i % 10 == 3 { 0.0 } else { 1.0 }).collect();
        assert_eq!(groups_hit(Initialization::KMeansPlusPlus, Some(&weights)), 9);
        assert_eq!(groups_hit(Initialization::AfkMc2, Some(&weights)), 9);
    }

    #[test]
    fn fewer_different_samples_than_clusters_are_all_chosen_and_then_repeated() {
        for initialization in [Initialization::KMeansPlusPlus, Initialization::AfkMc2] {
            let features = Array2::from_shape_fn((6, 1), |(i, _)| (i % 2) as f32);
            let view = features.view();
            let samples = Samples::new(&view, None).unwrap();
            let config = KMeansConfig { num_clusters: 4, initialization, ..Default::default() };
            let centroids = initial_centroids(&config, &samples, 1);
            assert_eq!(centroids.len(), 4);
            assert!(centroids.contains(&0.0) && centroids.contains(&1.0));
        }
    }

    #[test]
    fn sums_are_found_by_their_position() {
        assert_eq!(position_of_sum(&[0.0, 1.0, 2.0], 0.0), Some(1));
        assert_eq!(position_of_sum(&[0.0, 1.0, 2.0], 1.0), Some(2));
        assert_eq!(position_of_sum(&[0.0, 1.0, 0.0], 1.0), Some(1));
        assert_eq!(position_of_sum(&[0.0, 0.0], 0.0), None);
    }
}
