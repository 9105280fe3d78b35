//! Mini-batch k-means (Sculley 2010).

use ndarray::ArrayView2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::lloyd::{Assigned, Iterated, normalize, tell};
use super::samples::Samples;
use crate::clustering_algorithm::imbalance_factor;
use crate::clustering_algorithm::{ClusteringObserver, IterationStats};
use crate::error::ClusteringError;
use crate::kmeans::run::Run;

/// Moves `centroids` by one random batch after the other, then assigns all samples.
///
/// Every centroid becomes the mean of the samples it got in all batches so far, as if each had a learning
/// rate of one over their number. Emptied clusters are not refilled.
pub(super) fn iterate(
    run: Run<'_>,
    mut centroids: Vec<f32>,
    seed: u64,
    observer: &mut dyn ClusteringObserver,
) -> Result<Iterated, ClusteringError> {
    let Run { config, samples, .. } = run;
    let dim = samples.dim();
    let num_clusters = centroids.len() / dim;
    if config.spherical {
        normalize(&mut centroids, dim);
    }
    // Another stream than that of the initial centroids.
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(1);
    let mut weights_seen = vec![0.0_f64; num_clusters];
    let mut iterations = Vec::new();
    let batch_size = config.batch_size.min(samples.len());
    for iteration in run.place.iterations(config) {
        let indices: Vec<usize> = (0..batch_size).map(|_| generator.random_range(0..samples.len())).collect();
        let rows = samples.gather(indices.iter().copied());
        let weights = samples.gather_weights(&indices);
        let view = ArrayView2::from_shape((indices.len(), dim), &rows).expect("one row for each index");
        let batch = match Samples::new(&view, weights.as_deref()) {
            Ok(batch) => batch,
            // A batch without any weight moves nothing.
            Err(ClusteringError::InvalidWeight { .. }) => continue,
            Err(error) => return Err(error),
        };
        let assigned = Assigned::to(&batch, &centroids, config.precision);
        let mut cluster_sizes = vec![0; num_clusters];
        for (position, (row, &label)) in rows.chunks_exact(dim).zip(&assigned.labels).enumerate() {
            let cluster = label as usize;
            let weight = f64::from(batch.weight(position));
            cluster_sizes[cluster] += 1;
            weights_seen[cluster] += weight;
            if weight > 0.0 {
                let rate = weight / weights_seen[cluster];
                for (value, &sample) in centroids[cluster * dim..][..dim].iter_mut().zip(row) {
                    *value = (f64::from(*value) * (1.0 - rate) + f64::from(sample) * rate) as f32;
                }
            }
        }
        if config.spherical {
            normalize(&mut centroids, dim);
        }
        let stats = IterationStats {
            iteration,
            num_iterations: run.place.total_iterations,
            inertia: assigned.inertia(&batch),
            num_empty: 0,
            imbalance_factor: imbalance_factor(&cluster_sizes),
            elapsed: run.place.begin.elapsed(),
        };
        tell(observer, &mut iterations, stats)?;
    }
    let assigned = Assigned::to(samples, &centroids, config.precision);
    Ok(Iterated { centroids, assigned, iterations })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use crate::clustering_algorithm::ClusteringAlgorithm;
    use crate::kmeans::{KMeansConfig, KMeansVariant};

    #[test]
    fn batches_come_close_to_the_inertia_of_all_samples() {
        let features = Array2::from_shape_fn((3000, 2), |(i, j)| {
            10.0 * ((i % 5) * (j + 1) % 5) as f32 + ((i * 37 + j * 101 + i * i) % 97) as f32 / 50.0
        });
        let inertia = |variant| {
            let config = KMeansConfig {
                num_clusters: 5,
                num_iterations: 30,
                num_redos: 5,
                variant,
                batch_size: 200,
                ..Default::default()
            };
            config.init().unwrap().cluster(&features, 5, &mut ()).unwrap().inertia
        };
        let (lloyd, mini_batch) = (inertia(KMeansVariant::Lloyd), inertia(KMeansVariant::MiniBatch));
        assert!(
            mini_batch >= lloyd * (1.0 - 1e-9) && mini_batch < 1.1 * lloyd,
            "{mini_batch} beside {lloyd}"
        );
    }
}
