//! Shared code of the kernels on the CPU.

pub(crate) mod flex_values;
pub(crate) mod matrix_product;
pub(crate) mod sums;
