//! Tensor operations that Burn lacks or has slower on the CPU, with their gradients.
//!
//! - [`batch_norm_relu`]: batch normalisation, ReLU and max-pooling in one;
//! - [`conv2d`] and [`conv2d_relu_pool`]: convolution, with its gradients;
//! - [`image_values`]: normalised network inputs from bytes, converted on the device;
//! - [`linear`]: fully connected layer, with its gradients;
//! - [`precise_matmul`]: a matrix product that keeps all digits of its factors;
//! - [`nearest_rows`]: the rows of a matrix that are nearest to those of another;
//! - [`roi_max_pool`]: max-pooling of regions to squares of one size (Girshick, *Fast R-CNN*, ICCV 2015,
//!   section 2.1);
//! - [`segment_sums`]: sums of rows that belong together;
//! - [`sgd_step`]: a step of stochastic gradient descent in one pass;
//! - [`sobel`]: the fixed filter before the first convolution.
//!
//! [`device_limits`] reports what a device has room for. [`keep_freed_memory`] is for programs,
//! [`release_freed_memory`] for long runs of several phases.
//!
//! Each operation is a backend extension with a default that works on every backend; backends with a kernel
//! of their own override it.

#![cfg_attr(
    not(any(feature = "flex", feature = "gpu")),
    allow(unused_variables, reason = "without a backend no operation has a body that takes them")
)]

mod batch_norm_relu;
mod convolution;
mod device_limits;
mod freed_memory;
#[cfg(feature = "flex")]
mod host;
mod host_data;
mod image_values;
mod linear;
mod matrix_product;
mod nearest_rows;
mod pooling;
mod roi_pooling;
mod segment_sums;
mod sgd_step;
mod sobel;
#[cfg(all(test, feature = "flex"))]
mod test_tensors;

pub use batch_norm_relu::{BatchNormRelu, batch_norm_relu};
pub use convolution::{conv2d, conv2d_relu_pool};
pub use device_limits::{DeviceLimits, device_limits, device_memory_in_use};
pub use freed_memory::{keep_freed_memory, release_freed_memory};
pub use image_values::{ByteScale, ImageBytes, image_values};
pub use linear::linear;
pub use matrix_product::precise_matmul;
pub use nearest_rows::{MAX_NEAREST_ROWS, Magnitudes, nearest_rows, score_error};
pub use pooling::Pooling;
pub use roi_pooling::{MapRegion, roi_max_pool};
pub use segment_sums::segment_sums;
pub use sgd_step::{SgdFactors, sgd_step};
pub use sobel::{SOBEL_KERNELS, sobel};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
