//! Two-level k-means: a few large clusters first, then each on its own.

use ndarray::ArrayView2;

use super::init::initial_centroids;
use super::lloyd::{Assigned, Iterated, iterate};
use super::samples::Samples;
use crate::clustering_algorithm::ClusteringObserver;
use crate::error::ClusteringError;
use crate::kmeans::config::{KMeansConfig, KMeansVariant};
use crate::kmeans::run::Run;

/// Finds the square root of the number of clusters, cuts each in proportion to its samples, and assigns all
/// samples to the result. Reported iterations are those of the first level; the last is repeated after each
/// part.
pub(super) fn fit(
    run: Run<'_>,
    seed: u64,
    observer: &mut dyn ClusteringObserver,
) -> Result<Iterated, ClusteringError> {
    let Run { config, samples, .. } = run;
    let dim = samples.dim();
    let num_coarse = (config.num_clusters as f64).sqrt().round().max(1.0) as usize;
    let level = |num_clusters| KMeansConfig { num_clusters, variant: KMeansVariant::Lloyd, ..config.clone() };
    let coarse_config = level(num_coarse);
    let initial = initial_centroids(&coarse_config, samples, seed);
    let coarse = iterate(Run { config: &coarse_config, ..run }, initial, observer)?;
    let members = members_by_cluster(&coarse.assigned.labels, num_coarse);
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let mut centroids = Vec::with_capacity(config.num_clusters * dim);
    for (cluster, (members, num_parts)) in members.iter().zip(shares(&sizes, config.num_clusters)).enumerate()
    {
        if num_parts == 0 {
            continue;
        }
        let rows = samples.gather(members.iter().copied());
        let view = ArrayView2::from_shape((members.len(), dim), &rows).expect("one row for each member");
        let weights = samples.gather_weights(members);
        let part = match Samples::new(&view, weights.as_deref()) {
            Ok(part) => part,
            // Samples that do not count are cut as if they did.
            Err(ClusteringError::InvalidWeight { .. }) => Samples::new(&view, None)?,
            Err(error) => return Err(error),
        };
        let part_config = level(num_parts);
        let initial = initial_centroids(&part_config, &part, seed.wrapping_add(cluster as u64 + 1));
        let part_run = Run { config: &part_config, samples: &part, ..run };
        // Measures of a part would be mistaken for those of the whole; a request to stop is honoured.
        if coarse.iterations.last().is_some_and(|last| observer.iteration(last).is_break()) {
            return Err(ClusteringError::Cancelled);
        }
        centroids.extend(iterate(part_run, initial, &mut ())?.centroids);
    }
    let assigned = Assigned::to(samples, &centroids, config.precision);
    Ok(Iterated { centroids, assigned, iterations: coarse.iterations })
}

fn members_by_cluster(labels: &[u32], num_clusters: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); num_clusters];
    for (sample, &label) in labels.iter().enumerate() {
        members[label as usize].push(sample);
    }
    members
}

/// Shares `total` out in proportion to `sizes`, whose sum is at least `total`: none gets more than its size,
/// and the largest remainders get what rounding leaves.
fn shares(sizes: &[usize], total: usize) -> Vec<usize> {
    let sum: usize = sizes.iter().sum();
    let exact = |size: usize| size as f64 * total as f64 / sum as f64;
    let mut shares: Vec<usize> = sizes.iter().map(|&size| (exact(size) as usize).min(size)).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| exact(sizes[b]).fract().total_cmp(&exact(sizes[a]).fract()));
    let mut left = total.saturating_sub(shares.iter().sum());
    while left > 0 {
        for &index in &order {
            if left > 0 && shares[index] < sizes[index] {
                shares[index] += 1;
                left -= 1;
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::clustering_algorithm::ClusteringAlgorithm;

    #[test]
    fn shares_follow_the_sizes_and_add_up() {
        assert_eq!(shares(&[50, 30, 20], 10), [5, 3, 2]);
        assert_eq!(shares(&[10, 10, 10], 10).iter().sum::<usize>(), 10);
        assert_eq!(shares(&[1, 0, 7], 8), [1, 0, 7]);
        assert_eq!(shares(&[0, 5], 1), [0, 1]);
    }

    #[test]
    fn two_levels_give_every_cluster_and_nearly_the_same_inertia() {
        let features =
            Array2::from_shape_fn((4000, 3), |(i, j)| ((i * 37 + j * 101 + i * i * (j + 1)) % 997) as f32);
        let cluster = |variant| {
            let config = KMeansConfig { num_clusters: 50, variant, ..Default::default() };
            config.init().unwrap().cluster(&features, 5, &mut ()).unwrap()
        };
        let (lloyd, two_level) = (cluster(KMeansVariant::Lloyd), cluster(KMeansVariant::TwoLevel));
        assert_eq!(two_level.centroids.nrows(), 50);
        assert!(two_level.inertia < 1.2 * lloyd.inertia, "{} beside {}", two_level.inertia, lloyd.inertia);
    }
}
