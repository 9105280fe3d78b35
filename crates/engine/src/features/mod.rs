//! Features of images, on the host or on a device.

pub mod extract;
pub mod store;
