//! The part of an image that a transform shows.

/// The part of an image that is shown, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Square {
    /// `[size, size, 3]`
    pub(crate) pixels: Vec<u8>,
    /// Whether left and right change places.
    pub(crate) flip: bool,
}
