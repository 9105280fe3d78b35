//! The channels of a JPEG file before they become colours.

/// The channels of an image as stored, side by side.
#[derive(Debug)]
pub(crate) struct Components {
    /// In pixels.
    pub(crate) width: u32,
    /// In pixels.
    pub(crate) height: u32,
    pub(crate) num_components: usize,
    /// `height * width * num_components` values.
    pub(crate) samples: Vec<u8>,
}
