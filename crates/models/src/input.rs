//! Input images of a network.

/// The square that a network sees of an image, and the statistics its values are normalised with.
///
/// ```
/// use deepcluster_models::Input;
///
/// let input = Input::imagenet(224, 256);
/// // The middle of an image of 640 x 480 whose shorter side becomes 256: 224 of its 256 rows are seen.
/// assert_eq!((input.side, input.resize), (224, 256));
/// assert_eq!(input.mean, [0.485, 0.456, 0.406]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// Side of the square in pixels.
    pub side: usize,
    /// The shorter side of an image, in pixels, before the centre is cut out; at least `side`.
    pub resize: u32,
    /// Mean of red, green and blue, in `[0, 1]`, which is subtracted.
    pub mean: [f32; 3],
    /// Deviation of red, green and blue, by which the difference is divided; more than 0.
    pub std: [f32; 3],
}

impl Input {
    /// A square of `side` pixels out of an image resized as for ImageNet: 256 pixels for a side of 224, and
    /// the side itself below 64 pixels; with the statistics of ImageNet.
    ///
    /// ```
    /// use deepcluster_models::Input;
    ///
    /// assert_eq!(Input::for_side(224), Input::imagenet(224, 256));
    /// assert_eq!(Input::for_side(32).resize, 32);
    /// ```
    pub fn for_side(side: usize) -> Self {
        let resize = if side < 64 { side } else { (side * 256).div_ceil(224) };
        Self::imagenet(side, resize as u32)
    }

    /// With the statistics of ImageNet, as PyTorch's networks take them.
    pub fn imagenet(side: usize, resize: u32) -> Self {
        Self { side, resize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}
