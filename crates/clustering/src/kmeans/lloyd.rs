//! Lloyd's iterations.

use std::sync::Mutex;

use super::assign::{NO_LABEL, database, for_each_block};
use super::cluster_sums::{Change, ClusterSums};
use super::samples::Samples;
use super::split::split_clusters;
use crate::clustering_algorithm::imbalance_factor;
use crate::clustering_algorithm::{ClusteringObserver, IterationStats};
use crate::error::ClusteringError;
use crate::kmeans::assign::ScanPrecision;
use crate::kmeans::config::KMeansConfig;
use crate::kmeans::run::{Run, RunPlace};
use crate::rows::distance::squared_norm;

/// Most bytes of the sums that threads keep for themselves.
const MAX_SUM_BYTES: usize = 256 << 20;

/// Centroids and the clustering they led to.
pub(super) struct Iterated {
    pub(super) centroids: Vec<f32>,
    pub(super) assigned: Assigned,
    pub(super) iterations: Vec<IterationStats>,
}

/// The nearest centroid of each sample.
pub(super) struct Assigned {
    pub(super) labels: Vec<u32>,
    pub(super) squared_distances: Vec<f32>,
}

impl Assigned {
    /// No sample is assigned yet.
    fn none(num_samples: usize) -> Self {
        Self { labels: vec![NO_LABEL; num_samples], squared_distances: vec![0.0; num_samples] }
    }

    /// Assigns every sample to its nearest centroid.
    pub(super) fn to(samples: &Samples<'_>, centroids: &[f32], precision: ScanPrecision) -> Self {
        let mut assigned = Self::none(samples.len());
        assigned.update(samples, centroids, precision);
        assigned
    }

    /// Assigns every sample anew.
    fn update(&mut self, samples: &Samples<'_>, centroids: &[f32], precision: ScanPrecision) {
        let database = database(centroids, samples.dim(), precision);
        let Self { labels, squared_distances } = self;
        for_each_block(samples.source, &database, labels, squared_distances, None, |block| {
            block.write_nearest()
        });
    }

    /// The weighted sum of squared distances.
    pub(super) fn inertia(&self, samples: &Samples<'_>) -> f64 {
        let distances = self.squared_distances.iter().enumerate();
        distances.map(|(index, &distance)| f64::from(distance) * f64::from(samples.weight(index))).sum()
    }
}

/// Assignment of the samples and sums of their clusters, wherever they lie.
pub(super) trait LloydPass {
    /// Assigns every sample to its nearest centroid and adds up the clusters.
    fn run(&mut self, centroids: &[f32]) -> Result<(), ClusteringError>;

    /// Writes the means of the last pass; that of an empty cluster stays. Returns the number of samples of
    /// each.
    fn write_means(&self, centroids: &mut [f32]) -> Vec<usize>;

    /// The weighted sum of the squared distances of the last pass.
    fn inertia(&self) -> f64;

    /// Assigns every sample to its nearest centroid, once more.
    fn finish(self, centroids: &[f32]) -> Result<Assigned, ClusteringError>;
}

/// Iterates from `centroids`, `[num_clusters, dim]`.
pub(super) fn iterate(
    run: Run<'_>,
    centroids: Vec<f32>,
    observer: &mut dyn ClusteringObserver,
) -> Result<Iterated, ClusteringError> {
    let dim = run.samples.dim();
    let pass = FusedPass::new(run.samples, centroids.len() / dim, run.config.precision);
    iterate_passes(run.place, run.config, dim, centroids, pass, observer)
}

/// Iterates from `centroids`, `[num_clusters, dim]`, with the passes of `pass`.
pub(super) fn iterate_passes(
    place: RunPlace,
    config: &KMeansConfig,
    dim: usize,
    mut centroids: Vec<f32>,
    mut pass: impl LloydPass,
    observer: &mut dyn ClusteringObserver,
) -> Result<Iterated, ClusteringError> {
    if config.spherical {
        normalize(&mut centroids, dim);
    }
    let mut iterations: Vec<IterationStats> = Vec::new();
    let mut previous_centroids = Vec::new();
    for iteration in place.iterations(config) {
        pass.run(&centroids)?;
        previous_centroids.clone_from(&centroids);
        let mut cluster_sizes = pass.write_means(&mut centroids);
        let imbalance_factor = imbalance_factor(&cluster_sizes);
        let num_empty = split_clusters(&mut centroids, &mut cluster_sizes, dim);
        if config.spherical {
            normalize(&mut centroids, dim);
        }
        let inertia = pass.inertia();
        let previous_inertia = iterations.last().map(|stats| stats.inertia);
        let stats = IterationStats {
            iteration,
            num_iterations: place.total_iterations,
            inertia,
            num_empty,
            imbalance_factor,
            elapsed: place.begin.elapsed(),
        };
        tell(observer, &mut iterations, stats)?;
        // An iteration is a function of the centroids: if they did not move, all further ones would repeat
        // it.
        let has_settled = centroids == previous_centroids;
        let gains_little = config.tolerance > 0.0
            && previous_inertia.is_some_and(|previous| previous - inertia <= config.tolerance * previous);
        if has_settled || gains_little {
            break;
        }
    }
    let assigned = pass.finish(&centroids)?;
    Ok(Iterated { centroids, assigned, iterations })
}

/// Records the measures of an iteration and reports them to the observer.
///
/// # Errors
/// - [`ClusteringError::Cancelled`]: the observer stops the run.
pub(super) fn tell(
    observer: &mut dyn ClusteringObserver,
    iterations: &mut Vec<IterationStats>,
    stats: IterationStats,
) -> Result<(), ClusteringError> {
    let wish = observer.iteration(&stats);
    iterations.push(stats);
    if wish.is_break() { Err(ClusteringError::Cancelled) } else { Ok(()) }
}

/// Assignment and sums of the clusters in one pass over the samples. The sums stay from pass to pass: only
/// samples that move to another cluster change them.
struct FusedPass<'a> {
    samples: &'a Samples<'a>,
    precision: ScanPrecision,
    assigned: Assigned,
    sums: ClusterSums,
    /// Changes to the sums in this pass, by thread.
    parts: Vec<Mutex<ClusterSums>>,
}

impl<'a> FusedPass<'a> {
    fn new(samples: &'a Samples<'a>, num_clusters: usize, precision: ScanPrecision) -> Self {
        let dim = samples.dim();
        let num_affordable = MAX_SUM_BYTES / ClusterSums::num_bytes(num_clusters, dim).max(1);
        let num_parts = rayon::current_num_threads().min(num_affordable).max(1);
        Self {
            samples,
            precision,
            assigned: Assigned::none(samples.len()),
            sums: ClusterSums::zeros(num_clusters, dim),
            parts: (0..num_parts).map(|_| Mutex::new(ClusterSums::zeros(num_clusters, dim))).collect(),
        }
    }
}

impl LloydPass for FusedPass<'_> {
    fn run(&mut self, centroids: &[f32]) -> Result<(), ClusteringError> {
        let samples = self.samples;
        let dim = samples.dim();
        let database = database(centroids, dim, self.precision);
        let parts = &self.parts;
        let Assigned { labels, squared_distances } = &mut self.assigned;
        for_each_block(samples.source, &database, labels, squared_distances, None, |block| {
            let part = rayon::current_thread_index().unwrap_or(0) % parts.len();
            // A thread that panicked has left sums that nobody will use: the panic goes on.
            let mut sums = parts[part].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let rows = block.rows.chunks_exact(dim).zip(block.labels.iter().zip(block.nearest)).enumerate();
            database.instructions().compile_for(
                #[inline(always)]
                || {
                    for (row, (values, (&label, near))) in rows {
                        if label != near.index {
                            let weight = samples.weight(block.first + row);
                            if label != NO_LABEL {
                                sums.change(&samples.fixed_point, label, values, weight, Change::Leaves);
                            }
                            sums.change(&samples.fixed_point, near.index, values, weight, Change::Joins);
                        }
                    }
                },
            );
            drop(sums);
            block.write_nearest();
        });
        for part in &mut self.parts {
            self.sums.take(part.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
        }
        Ok(())
    }

    fn write_means(&self, centroids: &mut [f32]) -> Vec<usize> {
        let sizes = self.sums.write_means(&self.samples.fixed_point, centroids);
        self.write_light_means(centroids);
        sizes
    }

    fn inertia(&self) -> f64 {
        self.assigned.inertia(self.samples)
    }

    fn finish(mut self, centroids: &[f32]) -> Result<Assigned, ClusteringError> {
        self.assigned.update(self.samples, centroids, self.precision);
        Ok(self.assigned)
    }
}

impl FusedPass<'_> {
    /// Writes the means of the light clusters from the samples themselves, added up in their order.
    fn write_light_means(&self, centroids: &mut [f32]) {
        let (samples, dim) = (self.samples, self.samples.dim());
        let light = self.sums.light_clusters();
        if light.is_empty() {
            return;
        }
        let mut sums = vec![0.0; light.len() * dim];
        let mut weights = vec![0.0; light.len()];
        let mut buffer = Vec::new();
        for (index, label) in self.assigned.labels.iter().enumerate() {
            let weight = f64::from(samples.weight(index));
            let Ok(place) = light.binary_search(label) else { continue };
            let row = samples.source.read_rows(index, 1, &mut buffer);
            let sums = sums[place * dim..][..dim].iter_mut();
            sums.zip(row).for_each(|(sum, &value)| *sum += weight * f64::from(value));
            weights[place] += weight;
        }
        for ((&cluster, sums), weight) in light.iter().zip(sums.chunks_exact(dim)).zip(weights) {
            let centroid = &mut centroids[cluster as usize * dim..][..dim];
            centroid.iter_mut().zip(sums).for_each(|(value, sum)| *value = (sum / weight) as f32);
        }
    }
}

/// Scales every centroid to unit norm; zeros stay.
pub(super) fn normalize(centroids: &mut [f32], dim: usize) {
    for centroid in centroids.chunks_exact_mut(dim) {
        let norm = squared_norm(centroid).sqrt();
        if norm > 0.0 {
            centroid.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
        }
    }
}
