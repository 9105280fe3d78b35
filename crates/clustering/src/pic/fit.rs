//! The run of Power Iteration Clustering.

use ndarray::Array2;
use rayon::prelude::*;

use super::Pic;
use super::graph::Graph;
use super::maxima::{clusters_of_maxima, join_singletons};
use crate::assignments::Assignments;
use crate::clustering_algorithm::{Clustering, ClusteringAlgorithm, ClusteringObserver};
use crate::error::ClusteringError;
use crate::kmeans::cluster_means;
use crate::knn::Neighbors;
use crate::knn::with_neighbors;
use crate::rows::Rows;
use crate::rows::distance::squared_distance;
use crate::rows::matrix::FeatureMatrix;

impl Pic {
    /// Clusters a given neighbour graph: what [`cluster`](ClusteringAlgorithm::cluster) does once it has
    /// found the neighbours. `num_neighbors` of the configuration does not matter here.
    ///
    /// Row `i` of `neighbors`, `[num_samples, num_neighbors]`, holds samples that sample `i` is linked to,
    /// nearest first, as [`nearest_neighbors`](crate::nearest_neighbors) or an approximate search finds them.
    /// A sample that is named twice in a row is linked twice. Costs `O(num_samples * num_neighbors)` time per
    /// iteration and memory.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: there is not one distance per neighbour.
    /// - [`ClusteringError::TooManySamples`]: the graph has more rows than can be numbered.
    /// - [`ClusteringError::InvalidNeighbor`]: names the first row with a neighbour that is not a sample or
    ///   is the row itself, or with a distance that is negative, NaN or infinite.
    pub fn cluster_graph(&self, neighbors: &Neighbors) -> Result<Assignments, ClusteringError> {
        let graph = Graph::new(neighbors, self.config.kernel_bandwidth)?;
        let values = graph.iterate(self.config.damping, self.config.num_iterations);
        let mut clusters = clusters_of_maxima(&graph, &values);
        if self.config.join_singletons {
            clusters = join_singletons(&clusters, neighbors);
        }
        Assignments::new(clusters.labels, clusters.num_clusters)
    }
}

impl ClusteringAlgorithm for Pic {
    fn name(&self) -> &'static str {
        "pic"
    }

    fn cluster(
        &self,
        rows: &dyn Rows,
        _seed: u64,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        with_neighbors(rows, self.config.num_neighbors, observer, |features, neighbors, _| {
            describe(features, self.cluster_graph(&neighbors)?)
        })
    }
}

/// The clusters with their means and the distances to them. The centroid of an empty cluster is 0.
pub(super) fn describe(
    features: &FeatureMatrix<'_>,
    assignments: Assignments,
) -> Result<Clustering, ClusteringError> {
    let (dim, num_clusters) = (features.dim(), assignments.num_clusters());
    let mut centroids = vec![0.0; num_clusters * dim];
    cluster_means(features, assignments.labels(), &mut centroids)?;
    let squared_distances: Vec<f32> = assignments
        .labels()
        .par_iter()
        .enumerate()
        .map(|(row, &label)| {
            squared_distance(features.row(row), &centroids[label as usize * dim..][..dim]) as f32
        })
        .collect();
    Ok(Clustering {
        assignments,
        centroids: Array2::from_shape_vec((num_clusters, dim), centroids)
            .expect("there are num_clusters rows of dim values"),
        inertia: squared_distances.iter().map(|&distance| f64::from(distance)).sum(),
        squared_distances,
        iterations: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::array;

    use super::*;
    use crate::knn::nearest_neighbors;
    use crate::pic::PicConfig;

    #[test]
    fn two_far_groups_become_two_clusters_with_their_means() {
        // In each group the middle point has two neighbours and so the highest value.
        let features = array![[0.0_f32], [0.1], [0.2], [5.0], [5.1], [5.2]];
        let pic = PicConfig { num_neighbors: 1, ..Default::default() }.init().unwrap();
        let clustering = pic.cluster(&features, 0, &mut ()).unwrap();
        assert_eq!(clustering.assignments.labels(), [0, 0, 0, 1, 1, 1]);
        assert_eq!(clustering.centroids.dim(), (2, 1));
        assert!(
            (clustering.centroids[[0, 0]] - 0.1).abs() < 1e-6
                && (clustering.centroids[[1, 0]] - 5.1).abs() < 1e-6
        );
        // 4 points, each 0.1 from its mean
        assert!((clustering.inertia - 0.04).abs() < 1e-6);
        assert!(clustering.iterations.is_empty());
    }

    #[test]
    fn identical_points_stay_alone_and_nothing_is_nan() {
        // Three points, each linked to the other two: all values are tied.
        let features = Array2::<f32>::from_elem((3, 2), 0.5);
        let pic = PicConfig { num_neighbors: 2, ..Default::default() }.init().unwrap();
        let clustering = pic.cluster(&features, 0, &mut ()).unwrap();
        assert_eq!(clustering.assignments.labels(), [0, 1, 2]);
        assert_eq!(clustering.inertia, 0.0);
    }

    #[test]
    fn a_given_graph_gives_the_clusters_of_the_features_it_was_made_of() {
        let features = Array2::from_shape_fn((90, 2), |(i, j)| ((i * i * (j + 3)) % 89) as f32 / 89.0);
        let pic = PicConfig { num_neighbors: 3, ..Default::default() }.init().unwrap();
        let neighbors = nearest_neighbors(features.view(), features.view(), 3, true).unwrap();
        let clustering = pic.cluster(&features, 0, &mut ()).unwrap();
        assert_eq!(pic.cluster_graph(&neighbors).unwrap(), clustering.assignments);
    }

    #[test]
    fn samples_without_links_stay_alone() {
        let pic = PicConfig::default().init().unwrap();
        for num_samples in [0, 3] {
            let shape = (num_samples, 0);
            let neighbors =
                Neighbors { indices: Array2::zeros(shape), squared_distances: Array2::zeros(shape) };
            assert_eq!(pic.cluster_graph(&neighbors).unwrap().num_clusters(), num_samples);
        }
    }

    #[test]
    fn bad_input_too_few_samples_and_a_stop_are_errors() {
        struct Stop;
        impl ClusteringObserver for Stop {
            fn neighbors_found(&mut self, _num_rows_done: usize, _num_rows: usize) -> ControlFlow<()> {
                ControlFlow::Break(())
            }
        }
        let pic = PicConfig { num_neighbors: 2, ..Default::default() }.init().unwrap();
        let features = array![[0.0_f32], [1.0], [2.0]];
        assert!(matches!(pic.cluster(&features, 0, &mut Stop), Err(ClusteringError::Cancelled)));
        let few = array![[0.0_f32], [1.0]];
        let error = pic.cluster(&few, 0, &mut ()).unwrap_err();
        assert!(matches!(error, ClusteringError::TooFewCandidates { num_neighbors: 2, num_candidates: 1 }));
        let bad = array![[0.0_f32], [f32::NAN], [2.0]];
        let error = pic.cluster(&bad, 0, &mut ()).unwrap_err();
        assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 1 }));
    }
}
