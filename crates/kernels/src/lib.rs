//! Tensor operations that Burn lacks, with their gradients.
//!
//! - [`roi_max_pool`]: max-pooling of regions to squares of one size (Girshick, *Fast R-CNN*, ICCV 2015, section 2.1).
//!
//! Each is a backend extension with a default that works on every backend; backends with a kernel of their own
//! override it.

mod roi_pooling;

pub use roi_pooling::{MapRegion, roi_max_pool};
