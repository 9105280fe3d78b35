//! Max-pooling.

/// Max-pooling by squares without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    /// Side of a window, at least 1.
    pub size: usize,
    /// From one window to the next, at least 1.
    pub stride: usize,
}

impl Pooling {
    /// Windows of one value.
    pub const NONE: Self = Self { size: 1, stride: 1 };

    /// Height and width of pooled maps.
    #[cfg(feature = "flex")]
    pub(crate) fn pooled(self, sides: [usize; 2]) -> [usize; 2] {
        sides.map(|side| (side - self.size) / self.stride + 1)
    }
}

/// The largest values of the windows of a plane of `width` columns after `activate`, which gives nothing
/// below 0.
#[cfg(feature = "flex")]
#[inline(always)]
pub(crate) fn pool_plane(
    input: &[f32],
    output: &mut [f32],
    width: usize,
    pooling: Pooling,
    activate: impl Fn(f32) -> f32,
    scratch: &mut Vec<f32>,
) {
    let Pooling { size, stride } = pooling;
    let pooled_width = (width - size) / stride + 1;
    for (row, output) in output.chunks_exact_mut(pooled_width).enumerate() {
        // The largest of each column first, which whole vectors compare.
        scratch.clear();
        scratch.resize(width, 0.0);
        for y in row * stride..row * stride + size {
            let input = &input[y * width..(y + 1) * width];
            scratch.iter_mut().zip(input).for_each(|(most, &input)| *most = most.max(activate(input)));
        }
        for (x, output) in output.iter_mut().enumerate() {
            let window = &scratch[x * stride..x * stride + size];
            *output = window.iter().fold(0.0, |most, &value| value.max(most));
        }
    }
}
