//! Boxes that may hold an object, for a detector to classify.
//!
//! - [`selective_search`]: regions of an image, merged step by step (Uijlings et al., IJCV 2013);
//! - [`read_proposals`]: boxes found by another program, from a CSV file; [`write_proposals`].
//!
//! Boxes are in pixels from 0, and include their last row and column, as in PASCAL VOC.

pub(crate) mod csv_file;
pub(crate) mod error;
pub(crate) mod image_boxes;
pub(crate) mod proposal_file;
pub(crate) mod recall;
pub(crate) mod selective_search;

pub use csv_file::write_proposals;
pub use error::ProposalError;
pub use image_boxes::Proposals;
pub use proposal_file::read_proposals;
pub use selective_search::{ColorSpace, SelectiveSearchConfig, selective_search};
