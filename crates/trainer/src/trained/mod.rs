//! Trained networks: their features, and the clusters of new images.

pub(crate) mod feature_files;
pub(crate) mod model;
pub(crate) mod network;
#[cfg(feature = "parquet")]
mod parquet;
