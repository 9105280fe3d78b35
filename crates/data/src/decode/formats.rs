//! The formats of images that are read.

/// The formats this crate decodes, for messages.
pub(crate) const READABLE_FORMATS: &str = "JPEG, PNG, WebP, BMP, TIFF or GIF";
