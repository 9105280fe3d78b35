//! Differences between drawings of one kind.

/// The differences between two drawings of one kind, apart from their place, scale and rotation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variation {
    /// Within 0..1, such as the width of a ring.
    pub(crate) proportion: f32,
    /// For figures that are random themselves.
    pub(crate) seed: u32,
}
