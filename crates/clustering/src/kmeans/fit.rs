//! Lloyd's iterations.

use std::time::Instant;

use ndarray::{Array2, ArrayView2};

use super::assign::nearest_centroids;
use super::init::random_rows;
use super::split::split_clusters;
use super::update::update;
use crate::clustering_algorithm::imbalance_factor;
use crate::feature_matrix::FeatureMatrix;
use crate::{
    Assignments, Clustering, ClusteringAlgorithm, ClusteringError, ClusteringObserver, IterationStats, KMeans,
};

/// Distance between the seeds of two redos; any odd number spreads them.
const SEED_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl ClusteringAlgorithm for KMeans {
    fn name(&self) -> &'static str {
        "kmeans"
    }

    fn cluster(
        &self,
        features: ArrayView2<'_, f32>,
        seed: u64,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        let features = FeatureMatrix::new(features)?;
        self.check_num_samples(&features)?;
        let start = Instant::now();
        let mut best: Option<Clustering> = None;
        for redo in 0..self.config.num_redos {
            let seed = seed.wrapping_add((redo as u64).wrapping_mul(SEED_STEP));
            let centroids = random_rows(&features, self.config.num_clusters, seed);
            let rounds = Rounds {
                first: redo * self.config.num_iterations,
                count: self.config.num_iterations,
                total: self.config.num_redos.saturating_mul(self.config.num_iterations),
            };
            let clustering = iterate(&features, centroids, rounds, start, observer)?;
            if best.as_ref().is_none_or(|best| clustering.inertia < best.inertia) {
                best = Some(clustering);
            }
        }
        Ok(best.expect("num_redos was checked to be at least 1"))
    }
}

impl KMeans {
    /// Clusters `features`, `[num_samples, feature_dim]`, from the given `initial_centroids`,
    /// `[num_clusters, feature_dim]`, in a single run: `num_redos` does not count.
    ///
    /// # Errors
    /// Those of [`ClusteringAlgorithm::cluster`], and
    /// - [`ClusteringError::DimensionMismatch`]: the initial centroids are not `num_clusters` rows of the dimension
    ///   of the features.
    pub fn fit_from(
        &self,
        features: ArrayView2<'_, f32>,
        initial_centroids: ArrayView2<'_, f32>,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        for (what, actual, expected) in [
            ("the number of initial centroids", initial_centroids.nrows(), self.config.num_clusters),
            ("the dimension of the initial centroids", initial_centroids.ncols(), features.ncols()),
        ] {
            if actual != expected {
                return Err(ClusteringError::DimensionMismatch { what, expected, actual });
            }
        }
        let features = FeatureMatrix::new(features)?;
        self.check_num_samples(&features)?;
        let centroids = FeatureMatrix::new(initial_centroids)?.as_slice().to_vec();
        let rounds =
            Rounds { first: 0, count: self.config.num_iterations, total: self.config.num_iterations };
        iterate(&features, centroids, rounds, Instant::now(), observer)
    }

    fn check_num_samples(&self, features: &FeatureMatrix<'_>) -> Result<(), ClusteringError> {
        let (num_samples, num_clusters) = (features.num_rows(), self.config.num_clusters);
        if num_samples < num_clusters {
            return Err(ClusteringError::TooFewSamples { num_samples, num_clusters });
        }
        Ok(())
    }
}

/// The iterations of one run among those of all redos.
struct Rounds {
    first: usize,
    count: usize,
    total: usize,
}

fn iterate(
    features: &FeatureMatrix<'_>,
    mut centroids: Vec<f32>,
    rounds: Rounds,
    start: Instant,
    observer: &mut dyn ClusteringObserver,
) -> Result<Clustering, ClusteringError> {
    let dim = features.dim();
    let num_clusters = centroids.len() / dim;
    let mut iterations = Vec::new();
    let mut previous_centroids = Vec::new();
    for iteration in rounds.first..rounds.first + rounds.count {
        let (labels, squared_distances) = nearest_centroids(features, &centroids);
        previous_centroids.clone_from(&centroids);
        let mut cluster_sizes = update(features, &labels, &mut centroids);
        let imbalance_factor = imbalance_factor(&cluster_sizes);
        let num_empty = split_clusters(&mut centroids, &mut cluster_sizes, dim);
        let stats = IterationStats {
            iteration,
            num_iterations: rounds.total,
            inertia: sum(&squared_distances),
            num_empty,
            imbalance_factor,
            elapsed: start.elapsed(),
        };
        let wish = observer.iteration(&stats);
        iterations.push(stats);
        if wish.is_break() {
            return Err(ClusteringError::Cancelled);
        }
        // An iteration is a function of the centroids: if they did not move, all further ones would repeat it.
        if centroids == previous_centroids {
            break;
        }
    }
    let (labels, squared_distances) = nearest_centroids(features, &centroids);
    Ok(Clustering {
        assignments: Assignments::new(labels, num_clusters)?,
        centroids: Array2::from_shape_vec((num_clusters, dim), centroids)
            .expect("there are num_clusters rows of dim values"),
        inertia: sum(&squared_distances),
        squared_distances,
        iterations,
    })
}

fn sum(squared_distances: &[f32]) -> f64 {
    squared_distances.iter().map(|&distance| f64::from(distance)).sum()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::array;

    use super::*;
    use crate::KMeansConfig;

    #[test]
    fn a_hand_computed_run_gives_means_inertia_and_its_course() {
        // From centroids 0 and 1: {0} and {1, 5, 6} -> means 0, 4 -> {0, 1}, {5, 6} -> means 0.5, 5.5 -> no change.
        let features = array![[0.0_f32], [1.0], [5.0], [6.0]];
        let kmeans = KMeansConfig { num_clusters: 2, ..Default::default() }.init().unwrap();
        let fit = kmeans.fit_from(features.view(), array![[0.0_f32], [1.0]].view(), &mut ()).unwrap();
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
        let result = kmeans.fit_from(features.view(), initial.view(), &mut StopAfter(1));
        assert!(matches!(result, Err(ClusteringError::Cancelled)));
        assert!(kmeans.fit_from(features.view(), initial.view(), &mut StopAfter(9)).is_ok());
    }

    #[test]
    fn more_redos_never_give_a_higher_inertia() {
        let features = Array2::from_shape_fn((200, 2), |(i, j)| ((i * 37 + j * 101 + i * i) % 97) as f32);
        let inertia = |num_redos| {
            let config = KMeansConfig { num_clusters: 12, num_redos, ..Default::default() };
            config.init().unwrap().cluster(features.view(), 5, &mut ()).unwrap().inertia
        };
        assert!(inertia(6) < inertia(1));
    }
}
