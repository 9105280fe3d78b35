//! What the kernels of the CPU share.

pub(crate) mod flex_values;
pub(crate) mod matrix_product;
pub(crate) mod sums;
