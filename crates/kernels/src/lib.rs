//! Tensor operations that Burn lacks or has slower on the CPU, with their gradients.
//!
//! - [`batch_norm_relu`]: batch normalisation and ReLU in one;
//! - [`conv2d`]: convolution, with its gradients;
//! - [`roi_max_pool`]: max-pooling of regions to squares of one size (Girshick, *Fast R-CNN*, ICCV 2015, section 2.1).
//!
//! Each is a backend extension with a default that works on every backend; backends with a kernel of their own
//! override it.

mod batch_norm_relu;
mod convolution;
#[cfg(feature = "flex")]
mod flex_values;
mod roi_pooling;
#[cfg(all(test, feature = "flex"))]
mod test_tensors;

pub use batch_norm_relu::{BatchNormRelu, batch_norm_relu};
pub use convolution::conv2d;
pub use roi_pooling::{MapRegion, roi_max_pool};
