//! Clustering of feature matrices: the step of DeepCluster between the network and its pseudo-labels.
//!
//! The method of Caron et al., *Deep Clustering for Unsupervised Learning of Visual Features*, ECCV 2018
//! (section 3.2), reduces the features of all images with a PCA, whitens and L2-normalises them, and clusters
//! the rows with k-means. This crate holds these steps for matrices in host memory and knows neither images
//! nor networks:
//!
//! - [`WhiteningConfig`] and [`Whitening`]: PCA, whitening, L2 normalisation;
//! - [`Rows`]: the input of all of these: matrices, halves in memory, mapped files ([`FeatureFile`]), rows on
//!   a device;
//! - [`KMeansConfig`] and [`KMeans`]: Lloyd's k-means with the initialisation and the empty-cluster rule of
//!   faiss;
//! - [`PicConfig`] and [`Pic`]: Power Iteration Clustering in the variant of the original code, which finds
//!   the number of clusters by itself; [`LinCohenPicConfig`] and [`LinCohenPic`]: as published, with a given
//!   number;
//! - [`ClusteringAlgorithm`]: the common interface of all of them;
//! - [`ClusterModel`]: whitening and centroids together, to assign new images and to save in a file;
//! - [`nearest_neighbors`]: exact k-nearest-neighbour search.
//!
//! Matrices are `[num_samples, feature_dim]`, one sample per row, `f32`. Work is spread over the current
//! rayon thread pool; the results have the same bits for any number of threads, because blocks are cut at
//! fixed places and reduced in order. Assignments and neighbours are the same on every processor; the
//! components of a whitening may differ in the last bits between processors of different vector width.
//!
//! ```
//! use deepcluster_clustering::{ClusteringAlgorithm, KMeansConfig};
//! use ndarray::array;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let features = array![[0.0_f32, 0.1], [0.1, 0.0], [9.0, 9.1], [9.1, 9.0]];
//! let kmeans = KMeansConfig { num_clusters: 2, num_redos: 10, ..Default::default() }.init()?;
//! let clustering = kmeans.cluster(&features, 7, &mut ())?;
//!
//! assert_eq!(clustering.assignments.cluster_sizes(), [2, 2]);
//! assert!((clustering.inertia - 0.02).abs() < 1e-6); // four points, each 0.005 from its centroid
//! # Ok(())
//! # }
//! ```

mod assignments;
mod clustering_algorithm;
mod error;
mod kmeans;
mod knn;
mod matmul;
mod model;
mod pic;
mod rows;
mod scan;
mod simd;
mod symmetric_eigen;
mod whitening;

pub use assignments::Assignments;
pub use clustering_algorithm::{
    Clustering, ClusteringAlgorithm, ClusteringConfig, ClusteringObserver, IterationStats,
};
pub use error::ClusteringError;
pub use kmeans::{Initialization, KMeans, KMeansConfig, KMeansStart, KMeansVariant, ScanPrecision, assign};
pub use knn::{Neighbors, nearest_neighbors};
pub use model::ClusterModel;
pub use pic::{LinCohenPic, LinCohenPicConfig, Pic, PicConfig};
pub use rows::device::{DeviceRows, Moments, ScoreLists, ScoredRows};
pub use rows::file::{FeatureFile, FeatureFileProblem, FeatureType, NpyWriter};
pub use rows::host::HostRows;
pub use rows::stored::StoredFeatures;
pub use rows::{Place, Rows};
pub use whitening::{Whitening, WhiteningConfig};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
