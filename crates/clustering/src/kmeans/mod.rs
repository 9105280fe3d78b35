//! k-means. The defaults are those of the original code with faiss: Lloyd's iterations from random rows,
//! without subsampling; empty clusters are refilled by splitting others.

mod assign;
mod cluster_sums;
mod config;
mod fit;
mod init;
mod lloyd;
mod mini_batch;
mod on_device;
mod run;
mod samples;
mod split;
mod two_level;

pub use assign::{ScanPrecision, assign};
pub(crate) use cluster_sums::cluster_means;
pub use config::{Initialization, KMeans, KMeansConfig, KMeansVariant};
pub use fit::KMeansStart;
