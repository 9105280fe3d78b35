//! Power Iteration Clustering in the variant of the original code.

mod config;
mod fit;
mod graph;
mod links;
mod maxima;

pub use config::{Pic, PicConfig};
