//! The decoded image that every other module works on.

use crate::error::DataError;

/// An 8-bit RGB image in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage8 {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Rows from top to bottom, `[height, width, 3]`, values 0..=255 in the order red, green, blue.
    pub pixels: Vec<u8>,
}

impl RgbImage8 {
    /// Checks that the image has at least one pixel and exactly `height * width * 3` bytes.
    ///
    /// # Errors
    /// [`DataError::InvalidImage`] otherwise.
    pub fn validate(&self) -> Result<(), DataError> {
        let num_bytes = u64::from(self.width) * u64::from(self.height) * 3;
        if num_bytes == 0 || num_bytes != self.pixels.len() as u64 {
            return Err(DataError::InvalidImage {
                width: self.width,
                height: self.height,
                num_bytes: self.pixels.len(),
            });
        }
        Ok(())
    }
}
