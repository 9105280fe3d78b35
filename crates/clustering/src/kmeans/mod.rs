//! k-means. The defaults are what the original code asks of faiss: Lloyd's iterations from random rows, without
//! subsampling, with emptied clusters refilled by splitting others.

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
