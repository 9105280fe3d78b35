//! Pictures of what a network has learned, as in the figures of the DeepCluster paper (Caron et al., ECCV
//! 2018).
//!
//! - [`kernel_sheet`]: the kernels of the first convolution (figure 3);
//! - [`filter_pictures`]: for each filter an image that it responds to, found by gradient ascent (figure 4);
//! - [`top_images`]: for each filter the images that it responds to most, and where (figures 4 and 5);
//! - [`neighbors_in_runs`]: the nearest images of an image, by the untrained and by the trained network
//!   (figure 1 of many papers on features).
//!
//! Each returns plain results, and a [`ContactSheet`](crate::sheets::ContactSheet) to save or show.

mod filter_choice;
mod filter_pictures;
mod kernels;
mod neighbors;
mod shown_image;
mod top_images;

pub use filter_choice::{FilterChoice, convolution_names, layer_index};
pub use filter_pictures::{AscentMethod, FilterPicture, FilterPictureConfig, filter_pictures, filter_sheet};
pub use kernels::kernel_sheet;
pub use neighbors::{ComparedNeighbors, FoundImage, FoundNeighbors, neighbor_sheet, neighbors_in_runs};
pub use top_images::{FilterTop, TopImage, TopImageConfig, TopScore, top_image_sheet, top_images};
