//! The commands, one file each.

pub(crate) mod assign;
pub(crate) mod completions;
pub(crate) mod curves;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod features;
pub(crate) mod filters;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod kernels;
pub(crate) mod neighbors;
pub(crate) mod report;
mod sheets;
pub(crate) mod sweep;
pub(crate) mod top_images;
pub(crate) mod train;
