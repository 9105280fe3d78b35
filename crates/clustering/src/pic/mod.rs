//! Power Iteration Clustering: the variant of the original code, and the published algorithm of Lin and
//! Cohen.

mod config;
mod embedding;
mod fit;
mod graph;
mod lin_cohen;
mod links;
mod maxima;

pub use config::{Pic, PicConfig};
pub use lin_cohen::{LinCohenPic, LinCohenPicConfig};
