//! k-means as the original code ran it with faiss: Lloyd's iterations from random rows, without subsampling, with
//! emptied clusters refilled by splitting others.

mod assign;
mod config;
mod fit;
mod init;
mod split;
mod update;

pub use assign::assign;
pub use config::{KMeans, KMeansConfig};
pub(crate) use update::update;
