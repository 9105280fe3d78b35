//! DeepCluster: a folder of unlabelled images becomes clusters and a trained network.
//!
//! The method is that of Caron, Bojanowski, Joulin and Douze, *Deep Clustering for Unsupervised Learning of
//! Visual Features*, ECCV 2018 (<https://arxiv.org/abs/1807.05520>): the features of a convolutional network
//! are whitened and clustered, the clusters serve as labels to train the network, and the two steps
//! alternate.
//!
//! ```no_run
//! use deepcluster::prelude::*;
//!
//! fn main() -> Result<(), deepcluster::Error> {
//!     let mut config = TrainConfig::default();
//!     config.images.size = 64;
//!     config.objective.clustering_mut().num_clusters = Some(50);
//!     config.training.epochs = 10;
//!     let model = deepcluster::train("photos", "run", config, &mut ())?;
//!     let images = std::sync::Arc::new(Images::open("new-photos")?);
//!     let assigned = model.assign(&images, &mut ())?;
//!     println!("{:?}", assigned.clusters);
//!     Ok(())
//! }
//! ```
//!
//! # Parts
//! | module | content |
//! | --- | --- |
//! | [`data`] | images of a folder, or of a source of your own, decoded into batches |
//! | [`models`] | networks and files of their weights; the trait [`Backbone`](models::Backbone) for your own |
//! | [`clustering`] | PCA-whitening, k-means, Power Iteration Clustering and nearest neighbours of any matrix |
//! | [`engine`] | learning in memory: objectives, steps, devices; the trait [`Objective`](engine::Objective) for your own |
//! | [`trainer`] | runs: settings, checkpoints, results, trained networks |
//! | [`evaluation`] | measures of clusters, neighbours and detections against labels |
//! | `transfer` | linear probes, VOC tasks and retrieval by the protocols of the paper (feature `transfer`) |
//! | `report` | the page of a run, and pictures of its network (feature `report`) |
//!
//! # Cargo features
//! - `flex` (default): the CPU. `wgpu`, `vulkan`, `metal`, `cuda`: GPUs. The device is chosen at run time
//!   ([`parse_device`]).
//! - `transfer`, `report`: the modules of the same names.
//! - `onnx`, `parquet`: export of networks to ONNX, and of features to Parquet.
//!
//! The program `deepcluster` has all four.

mod error;
mod export;

use std::path::Path;

pub use burn;
pub use deepcluster_clustering as clustering;
pub use deepcluster_data as data;
pub use deepcluster_engine as engine;
pub use deepcluster_evaluation as evaluation;
pub use deepcluster_models as models;
#[cfg(feature = "report")]
pub use deepcluster_report as report;
pub use deepcluster_trainer as trainer;
#[cfg(feature = "transfer")]
pub use deepcluster_transfer as transfer;

pub use deepcluster_files::{HasKind, Kind};
pub use deepcluster_kernels::keep_freed_memory;

pub use error::Error;
pub use export::{ExportSummary, export};

use deepcluster_data::{Images, Location};
use deepcluster_models::Network;
use deepcluster_trainer::{TrainConfig, TrainObserver, TrainedModel, begin_run, parse_device};

/// Items that most programs need.
pub mod prelude {
    pub use burn::tensor::Device;
    pub use deepcluster_clustering::{ClusteringAlgorithm, KMeansConfig, WhiteningConfig};
    pub use deepcluster_data::Images;
    pub use deepcluster_models::{Architecture, Backbone, Network};
    pub use deepcluster_trainer::{
        DeepCluster, EpochMetrics, EpochTimings, Event, Observer, RunDirectory, TrainConfig, TrainObserver,
        TrainedModel, Trainer, parse_device,
    };
}

/// Trains on the images of a folder, or another place, with the best device of this build, keeps the run in
/// the folder `out`, and returns the trained network with its clusters. `observer` receives
/// progress; `&mut ()` ignores it.
///
/// # Errors
/// Everything that [`Images::scan`], [`begin_run`] and [`trainer::Trainer::run`] can report.
pub fn train(
    images: impl Into<Location>,
    out: impl AsRef<Path>,
    config: TrainConfig,
    observer: &mut dyn TrainObserver,
) -> Result<TrainedModel<Network>, Error> {
    let images = Images::scan(images, &config.scan_config())?;
    Ok(begin_run(config, images, out, &[parse_device("auto")?])?.run(observer)?)
}
