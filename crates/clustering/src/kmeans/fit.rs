//! The run of k-means: from samples to clusters.

use std::time::Instant;

use ndarray::{Array2, ArrayView2};

use super::init::initial_centroids;
use super::lloyd::{Assigned, Iterated, iterate};
use super::samples::Samples;
use super::{mini_batch, two_level};
use crate::assignments::Assignments;
use crate::clustering_algorithm::{Clustering, ClusteringAlgorithm, ClusteringObserver};
use crate::error::ClusteringError;
use crate::kmeans::config::{KMeans, KMeansConfig, KMeansVariant};
use crate::kmeans::run::{Run, RunPlace};
use crate::rows::host::HostRows;
use crate::rows::matrix::FeatureMatrix;
use crate::rows::{Place, Rows};

/// Distance between the seeds of two redos; any odd number spreads them.
const SEED_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Start of a k-means run.
#[derive(Debug, Clone, Copy)]
pub enum KMeansStart<'a> {
    /// Centroids chosen by [`KMeansConfig::initialization`] with this seed.
    Seed(u64),
    /// These centroids, `[num_clusters, feature_dim]`. `num_redos` and `initialization` do not count then;
    /// the variant [`KMeansVariant::TwoLevel`] has no use for them.
    Centroids(ArrayView2<'a, f32>),
}

impl ClusteringAlgorithm for KMeans {
    fn name(&self) -> &'static str {
        "kmeans"
    }

    fn cluster(
        &self,
        rows: &dyn Rows,
        seed: u64,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        self.fit(rows, None, KMeansStart::Seed(seed), observer)
    }
}

impl KMeans {
    /// Clusters `rows`, wherever they lie. Sample `i` counts `weights[i]` times; without `weights` every
    /// sample counts once. On a device the variant [`KMeansVariant::Lloyd`] without weights works there;
    /// otherwise its rows are read to the host.
    ///
    /// # Errors
    /// Those of [`ClusteringAlgorithm::cluster`], and
    /// - [`ClusteringError::DimensionMismatch`]: the number of weights is not that of the samples, or the
    ///   centroids to start with are not `num_clusters` rows of the dimension of the features.
    /// - [`ClusteringError::InvalidWeight`]: a weight is negative or not finite, or all are 0.
    /// - [`ClusteringError::InvalidConfig`]: centroids to start with are given for
    ///   [`KMeansVariant::TwoLevel`].
    pub fn fit(
        &self,
        rows: &dyn Rows,
        weights: Option<&[f32]>,
        start: KMeansStart<'_>,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        match rows.place() {
            Place::Host(rows) => self.fit_on_host(rows, weights, start, observer),
            Place::Device(rows) if weights.is_none() => self.fit_on_device(rows, start, observer),
            Place::Device(rows) => self.fit_on_host(&rows.to_host()?, weights, start, observer),
        }
    }

    pub(super) fn fit_on_host(
        &self,
        source: &dyn HostRows,
        weights: Option<&[f32]>,
        start: KMeansStart<'_>,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        let samples = Samples::new(source, weights)?;
        let (num_samples, num_clusters) = (samples.len(), self.config.num_clusters);
        if num_samples < num_clusters {
            return Err(ClusteringError::TooFewSamples { num_samples, num_clusters });
        }
        let (seed, given) = match start {
            KMeansStart::Seed(seed) => (seed, None),
            KMeansStart::Centroids(centroids) => (0, Some(self.checked(centroids, samples.dim())?)),
        };
        let begin = Instant::now();
        let Some(chosen) = subsample(&self.config, num_samples, seed) else {
            return self.fit_samples(&samples, given, seed, begin, observer);
        };
        let rows = samples.gather(chosen.iter().copied());
        let rows =
            Array2::from_shape_vec((chosen.len(), samples.dim()), rows).expect("one row for each choice");
        let chosen_weights = samples.gather_weights(&chosen);
        let view = rows.view();
        let part = Samples::new(&view, chosen_weights.as_deref())?;
        let fitted = self.fit_samples(&part, given, seed, begin, observer)?;
        let centroids = fitted.centroids.into_raw_vec_and_offset().0;
        let assigned = Assigned::to(&samples, &centroids, self.config.precision);
        let iterated = Iterated { centroids, assigned, iterations: fitted.iterations };
        clustering(samples.dim(), iterated, |assigned| assigned.inertia(&samples))
    }

    pub(super) fn checked(
        &self,
        centroids: ArrayView2<'_, f32>,
        dim: usize,
    ) -> Result<Vec<f32>, ClusteringError> {
        for (what, actual, expected) in [
            ("the number of initial centroids", centroids.nrows(), self.config.num_clusters),
            ("the dimension of the initial centroids", centroids.ncols(), dim),
        ] {
            if actual != expected {
                return Err(ClusteringError::DimensionMismatch { what, expected, actual });
            }
        }
        if self.config.variant == KMeansVariant::TwoLevel {
            let (field, value) = ("variant", "two-level".to_string());
            return Err(ClusteringError::InvalidConfig {
                field,
                value,
                allowed: "lloyd or mini-batch from given centroids",
            });
        }
        Ok(FeatureMatrix::new(centroids)?.as_slice().to_vec())
    }

    /// Runs the configured variant on all of `samples`.
    fn fit_samples(
        &self,
        samples: &Samples<'_>,
        given: Option<Vec<f32>>,
        seed: u64,
        begin: Instant,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        let config = &self.config;
        best_of_redos(config, given.is_some(), seed, begin, |place, seed| {
            let run = Run { config, samples, place };
            let initial = |seed| given.clone().unwrap_or_else(|| initial_centroids(config, samples, seed));
            let iterated = match config.variant {
                KMeansVariant::Lloyd => iterate(run, initial(seed), observer)?,
                KMeansVariant::MiniBatch => mini_batch::iterate(run, initial(seed), seed, observer)?,
                KMeansVariant::TwoLevel => two_level::fit(run, seed, observer)?,
            };
            clustering(samples.dim(), iterated, |assigned| assigned.inertia(samples))
        })
    }
}

/// The clustering of lowest inertia among those that `fit` finds from different seeds; from given centroids
/// there is one.
pub(super) fn best_of_redos(
    config: &KMeansConfig,
    are_given: bool,
    seed: u64,
    begin: Instant,
    mut fit: impl FnMut(RunPlace, u64) -> Result<Clustering, ClusteringError>,
) -> Result<Clustering, ClusteringError> {
    let num_redos = if are_given { 1 } else { config.num_redos };
    let mut best: Option<Clustering> = None;
    for redo in 0..num_redos {
        let place = RunPlace {
            first_iteration: redo.saturating_mul(config.num_iterations),
            total_iterations: num_redos.saturating_mul(config.num_iterations),
            begin,
        };
        let clustering = fit(place, seed.wrapping_add((redo as u64).wrapping_mul(SEED_STEP)))?;
        if best.as_ref().is_none_or(|best| clustering.inertia < best.inertia) {
            best = Some(clustering);
        }
    }
    Ok(best.expect("num_redos was checked to be at least 1"))
}

/// The samples, in ascending order, that the centroids are learnt from if these are not all.
pub(super) fn subsample(config: &KMeansConfig, num_samples: usize, seed: u64) -> Option<Vec<usize>> {
    let num_chosen = config.max_samples_per_cluster?.saturating_mul(config.num_clusters);
    if num_chosen >= num_samples {
        return None;
    }
    let mut chosen = super::init::distinct_indices(num_samples, num_chosen, seed.wrapping_sub(SEED_STEP));
    chosen.sort_unstable();
    Some(chosen)
}

/// The result of a run with samples of `dim` values.
pub(super) fn clustering(
    dim: usize,
    iterated: Iterated,
    inertia: impl FnOnce(&Assigned) -> f64,
) -> Result<Clustering, ClusteringError> {
    let Iterated { centroids, assigned, iterations } = iterated;
    let num_clusters = centroids.len() / dim;
    let inertia = inertia(&assigned);
    Ok(Clustering {
        assignments: Assignments::new(assigned.labels, num_clusters)?,
        centroids: Array2::from_shape_vec((num_clusters, dim), centroids)
            .expect("there are num_clusters rows of dim values"),
        inertia,
        squared_distances: assigned.squared_distances,
        iterations,
    })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::array;

    use super::*;
    use crate::clustering_algorithm::IterationStats;
    use crate::kmeans::KMeansConfig;

    #[test]
    fn a_hand_computed_run_gives_means_inertia_and_its_course() {
        // From centroids 0 and 1: {0} and {1, 5, 6} -> means 0, 4 -> {0, 1}, {5, 6} -> means 0.5, 5.5 -> no
        // change.
        let features = array![[0.0_f32], [1.0], [5.0], [6.0]];
        let kmeans = KMeansConfig { num_clusters: 2, ..Default::default() }.init().unwrap();
        let fit = kmeans
            .fit(&features, None, KMeansStart::Centroids(array![[0.0_f32], [1.0]].view()), &mut ())
            .unwrap();
        assert_eq!(fit.assignments.labels(), [0, 0, 1, 1]);
        assert_eq!(fit.centroids, array![[0.5_f32], [5.5]]);
        assert_eq!(fit.squared_distances, [0.25; 4]);
        assert_eq!(fit.inertia, 1.0);
        // 0 + 0 + 16 + 25; 0 + 1 + 1 + 4; 4 * 0.25
        let inertias: Vec<f64> = fit.iterations.iter().map(|stats| stats.inertia).collect();
        assert_eq!(inertias, [41.0, 6.0, 1.0]);
        // 2 * (1 + 9) / 16
        assert_eq!(fit.iterations[0].imbalance_factor, 1.25);
    }

    #[test]
    fn the_observer_can_stop_the_run() {
        struct StopAfter(usize);
        impl ClusteringObserver for StopAfter {
            fn iteration(&mut self, stats: &IterationStats) -> ControlFlow<()> {
                if stats.iteration == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        }
        let features = array![[0.0_f32], [1.0], [5.0], [6.0]];
        let kmeans = KMeansConfig { num_clusters: 2, ..Default::default() }.init().unwrap();
        let initial = array![[0.0_f32], [1.0]];
        let result = kmeans.fit(&features, None, KMeansStart::Centroids(initial.view()), &mut StopAfter(1));
        assert!(matches!(result, Err(ClusteringError::Cancelled)));
        assert!(
            kmeans.fit(&features, None, KMeansStart::Centroids(initial.view()), &mut StopAfter(9)).is_ok()
        );
    }

    #[test]
    fn more_redos_never_give_a_higher_inertia() {
        let features = Array2::from_shape_fn((200, 2), |(i, j)| ((i * 37 + j * 101 + i * i) % 97) as f32);
        let inertia = |num_redos| {
            let config = KMeansConfig { num_clusters: 12, num_redos, ..Default::default() };
            config.init().unwrap().cluster(&features, 5, &mut ()).unwrap().inertia
        };
        assert!(inertia(6) < inertia(1));
    }
}
