//! Power Iteration Clustering as Lin and Cohen published it.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::config::check_graph_settings;
use super::embedding::{embed, standardize};
use super::fit::describe;
use super::graph::Graph;
use crate::assignments::Assignments;
use crate::clustering_algorithm::{Clustering, ClusteringAlgorithm, ClusteringObserver};
use crate::error::ClusteringError;
use crate::kmeans::KMeansConfig;
use crate::knn::Neighbors;
use crate::knn::with_neighbors;
use crate::rows::Rows;

/// Settings of [`LinCohenPic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinCohenPicConfig {
    /// Number of clusters, at least 1 and at most the number of samples. Default: 10,000, as for k-means.
    pub num_clusters: usize,
    /// Number of nearest neighbours that each sample is linked to, at least 1 and below the number of
    /// samples. Default: 5, as in [`PicConfig`](crate::PicConfig).
    pub num_neighbors: usize,
    /// Width `sigma` of the kernel `exp(-d^2 / sigma^2)`, a positive number. Default: 0.2, as in
    /// [`PicConfig`](crate::PicConfig), meant for rows of unit norm.
    pub kernel_bandwidth: f64,
    /// Most power iterations, at least 1. Default: 100, as in Spark MLlib.
    pub num_iterations: usize,
    /// Number of runs of k-means on the embedding, of which the one with the lowest inertia is kept; at least
    /// 1. Default: 10.
    pub num_redos: usize,
}

impl Default for LinCohenPicConfig {
    fn default() -> Self {
        Self {
            num_clusters: 10_000,
            num_neighbors: 5,
            kernel_bandwidth: 0.2,
            num_iterations: 100,
            num_redos: 10,
        }
    }
}

impl LinCohenPicConfig {
    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: names the field, its value and the values allowed.
    pub fn validate(&self) -> Result<(), ClusteringError> {
        check_graph_settings(self.num_neighbors, self.kernel_bandwidth, self.num_iterations)?;
        self.kmeans().validate()
    }

    /// Makes the algorithm.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: a field is out of range.
    pub fn init(&self) -> Result<LinCohenPic, ClusteringError> {
        self.validate()?;
        Ok(LinCohenPic { config: self.clone() })
    }

    /// k-means on the embedding. In one dimension iterations are cheap, so that most runs end by themselves.
    fn kmeans(&self) -> KMeansConfig {
        KMeansConfig {
            num_clusters: self.num_clusters,
            num_iterations: 100,
            num_redos: self.num_redos,
            ..Default::default()
        }
    }
}

/// Power Iteration Clustering as published, into a given number of clusters; made by
/// [`LinCohenPicConfig::init`].
///
/// Samples are linked to their nearest neighbours as in [`Pic`](crate::Pic). Power iteration on the graph,
/// each row divided by its sum, pulls the values of samples together that are well linked, long before all
/// values are equal. It is stopped there, and k-means clusters the values:
///
/// ```text
/// A_ij = exp(-||x_i - x_j||^2 / sigma^2) for neighbours j of i, 0 otherwise   W = A + A^T   d_i = sum_j W_ij
/// v <- u / ||u||_1,  u_i = sum_j W_ij v_j / d_i,  from v_i = d_i / sum_j d_j
/// until max_i | |v_i - v_i'| - |v_i' - v_i''| | <= 1e-5 / n      (v', v'' one and two iterations before)
/// ```
///
/// Samples without a link of positive weight have the value 0, together with those of the lowest values.
///
/// The centroids of the [`Clustering`](crate::Clustering) are the means of the members; the nearest centroid
/// of a sample need not be that of its cluster. `iterations` is empty. The observer is notified of the search
/// and of the iterations of k-means, whose inertia is that of the embedding, scaled to variance 1. The seed
/// chooses the initial centroids of k-means. The same bits at any number of threads.
///
/// # Differences from [`Pic`](crate::Pic)
/// The number of clusters is given; rows are normalised and nothing is mixed in (`damping`); the values start
/// from the degrees; clusters are those of k-means on the values, not of local maxima on the graph; there is
/// nothing to join. One value per sample has to tell all clusters apart: parts of the graph that are not
/// linked to each other but are alike in their degrees get the same value, and so one cluster.
///
/// # Differences from the publication
/// The graph is that of the nearest neighbours instead of all pairs. k-means runs `num_redos` times.
///
/// # Cost
/// As [`Pic`](crate::Pic), and k-means in one dimension: `O(num_samples * num_clusters)` per iteration.
///
/// # References
/// - Lin, Cohen, *Power Iteration Clustering*, ICML 2010: the algorithm and the stopping rule, also that of
///   Spark MLlib, which compares the sums over all samples instead of each.
#[derive(Debug, Clone, PartialEq)]
pub struct LinCohenPic {
    config: LinCohenPicConfig,
}

impl LinCohenPic {
    /// Clusters a given neighbour graph: what [`cluster`](ClusteringAlgorithm::cluster) does once it has
    /// found the neighbours. For `neighbors` see [`Pic::cluster_graph`](crate::Pic::cluster_graph).
    ///
    /// # Errors
    /// - [`ClusteringError::TooFewSamples`]: fewer samples than clusters.
    /// - [`ClusteringError::DimensionMismatch`], [`ClusteringError::TooManySamples`] or
    ///   [`ClusteringError::InvalidNeighbor`]: not a neighbour graph, as in
    ///   [`Pic::cluster_graph`](crate::Pic::cluster_graph).
    pub fn cluster_graph(&self, neighbors: &Neighbors, seed: u64) -> Result<Assignments, ClusteringError> {
        self.cluster_observed(neighbors, seed, &mut ())
    }

    fn cluster_observed(
        &self,
        neighbors: &Neighbors,
        seed: u64,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Assignments, ClusteringError> {
        self.check_size(neighbors.indices.nrows())?;
        let graph = Graph::new(neighbors, self.config.kernel_bandwidth)?;
        let values = standardize(&embed(&graph, self.config.num_iterations));
        let embedding = Array2::from_shape_vec((values.len(), 1), values).expect("one value in each row");
        let kmeans = self.config.kmeans().init()?;
        Ok(kmeans.cluster(&embedding, seed, observer)?.assignments)
    }

    fn check_size(&self, num_samples: usize) -> Result<(), ClusteringError> {
        let num_clusters = self.config.num_clusters;
        if num_samples < num_clusters {
            return Err(ClusteringError::TooFewSamples { num_samples, num_clusters });
        }
        Ok(())
    }
}

impl ClusteringAlgorithm for LinCohenPic {
    fn name(&self) -> &'static str {
        "lin-cohen-pic"
    }

    fn cluster(
        &self,
        rows: &dyn Rows,
        seed: u64,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        if rows.num_rows() > 0 {
            self.check_size(rows.num_rows())?;
        }
        with_neighbors(rows, self.config.num_neighbors, observer, |features, neighbors, observer| {
            describe(features, self.cluster_observed(&neighbors, seed, observer)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use deepcluster_evaluation::adjusted_rand_index;
    use ndarray::array;

    use super::*;

    /// Three rings around one centre with 40, 60 and 80 points, unequally dense; and the ring of each point.
    fn rings() -> (Array2<f32>, Vec<u32>) {
        let rings: Vec<u32> = (0..180)
            .map(|i| {
                if i < 40 {
                    0
                } else if i < 100 {
                    1
                } else {
                    2
                }
            })
            .collect();
        let features = Array2::from_shape_fn((180, 2), |(i, j)| {
            let (size, radius) = [(40.0, 0.5_f32), (60.0, 1.5), (80.0, 3.0)][rings[i] as usize];
            let angle = i as f32 / size * std::f32::consts::TAU;
            radius * if j == 0 { angle.cos() } else { angle.sin() }
        });
        (features, rings)
    }

    /// Three clouds of 60 points of unequal width, and the cloud of each point.
    fn clouds() -> (Array2<f32>, Vec<u32>) {
        let mut state = 1_u64;
        let features = Array2::from_shape_fn((180, 2), |(i, j)| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let offset = (state >> 40) as f32 / (1 << 24) as f32;
            let cloud = (i / 60) as f32;
            (0.3 + 0.4 * cloud) * offset + if j == 0 { 5.0 * cloud } else { 0.0 }
        });
        (features, (0..180).map(|i| i / 60).collect())
    }

    #[test]
    fn rings_and_clouds_far_from_each_other_are_found() {
        for ((features, truth), num_neighbors) in [(rings(), 4), (clouds(), 10)] {
            let config = LinCohenPicConfig { num_clusters: 3, num_neighbors, ..Default::default() };
            let pic = config.init().unwrap();
            for seed in 0..5 {
                let clustering = pic.cluster(&features, seed, &mut ()).unwrap();
                let labels = clustering.assignments.labels();
                assert_eq!(adjusted_rand_index(labels, &truth).unwrap(), 1.0);
                assert_eq!(clustering.centroids.dim(), (3, 2));
            }
        }
    }

    #[test]
    fn the_number_of_clusters_is_kept_and_the_seed_decides() {
        let (features, _) = clouds();
        for num_clusters in [1, 2, 7, 180] {
            let pic = LinCohenPicConfig { num_clusters, ..Default::default() }.init().unwrap();
            let clustering = pic.cluster(&features, 5, &mut ()).unwrap();
            assert_eq!(clustering.assignments.num_clusters(), num_clusters);
            assert_eq!(pic.cluster(&features, 5, &mut ()).unwrap(), clustering);
        }
        let pic = LinCohenPicConfig { num_clusters: 40, num_redos: 1, ..Default::default() }.init().unwrap();
        let run = |seed| pic.cluster(&features, seed, &mut ()).unwrap().assignments;
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn more_clusters_than_samples_and_bad_settings_are_refused() {
        let features = array![[0.0_f32], [1.0], [2.0]];
        let valid = LinCohenPicConfig { num_clusters: 4, num_neighbors: 1, ..Default::default() };
        let pic = valid.init().unwrap();
        let error = pic.cluster(&features, 0, &mut ()).unwrap_err();
        assert!(matches!(error, ClusteringError::TooFewSamples { num_samples: 3, num_clusters: 4 }));
        let none = Neighbors { indices: Array2::zeros((0, 1)), squared_distances: Array2::zeros((0, 1)) };
        let error = pic.cluster_graph(&none, 0).unwrap_err();
        assert!(matches!(error, ClusteringError::TooFewSamples { num_samples: 0, num_clusters: 4 }));
        for (config, name) in [
            (LinCohenPicConfig { num_clusters: 0, ..valid.clone() }, "num_clusters"),
            (LinCohenPicConfig { num_neighbors: 0, ..valid.clone() }, "num_neighbors"),
            (LinCohenPicConfig { kernel_bandwidth: -1.0, ..valid.clone() }, "kernel_bandwidth"),
            (LinCohenPicConfig { kernel_bandwidth: f64::NAN, ..valid.clone() }, "kernel_bandwidth"),
            (LinCohenPicConfig { num_iterations: 0, ..valid.clone() }, "num_iterations"),
            (LinCohenPicConfig { num_redos: 0, ..valid.clone() }, "num_redos"),
        ] {
            let error = config.init().unwrap_err();
            assert!(
                matches!(error, ClusteringError::InvalidConfig { field, .. } if field == name),
                "{error}"
            );
        }
    }
}
