//! Image files made by a test.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

/// An image as a file of a format, TIFF among them.
///
/// # Panics
/// If the format cannot hold the image.
pub fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    if let Err(error) = image.into().write_to(&mut bytes, format) {
        panic!("{format:?}: {error}");
    }
    bytes.into_inner()
}
