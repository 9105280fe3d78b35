//! Features that stay on a GPU from the network to the clusters.
//!
//! [`DeviceFeatures`] takes the output of a network batch by batch, is whitened on the device, and is
//! clustered there. Rows that have no room on the device wait on the host, and pass through the device
//! whenever they are used.
//!
//! Labels and centroids are those of a clustering of the same whitened rows on the host, bit by bit; whitened
//! rows agree to rounding.

mod chunk;
mod clustering_rows;
mod features;
mod moments;
mod read;
mod scores;
mod sums;

pub use features::{DeviceFeatures, Room};
