//! The sizes of a convolution.

use crate::pooling::Pooling;

/// Fused epilogue of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epilogue {
    /// Nothing.
    None,
    /// Values below 0 become 0, and the largest of each window remains.
    ReluPool(Pooling),
}

impl Epilogue {
    #[inline(always)]
    pub(super) fn activate(self, value: f32) -> f32 {
        match self {
            Self::None => value,
            Self::ReluPool(_) => value.max(0.0),
        }
    }

    /// The pooling, if it changes the size of the maps.
    pub(super) fn pooling(self) -> Option<Pooling> {
        match self {
            Self::ReluPool(pooling) if pooling != Pooling::NONE => Some(pooling),
            _ => None,
        }
    }
}

/// Height and width of a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapSize {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl MapSize {
    /// Values of a plane.
    pub(super) fn len(self) -> usize {
        self.height * self.width
    }
}

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConvShape {
    pub(super) batch: usize,
    pub(super) channels_in: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels_out: usize,
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
}

impl ConvShape {
    /// Size of an image.
    pub(super) fn image_size(&self) -> MapSize {
        MapSize { height: self.height, width: self.width }
    }

    /// Size of a map.
    pub(super) fn map_size(&self) -> MapSize {
        MapSize {
            height: (self.height + 2 * self.padding[0] - self.kernel[0]) / self.stride[0] + 1,
            width: (self.width + 2 * self.padding[1] - self.kernel[1]) / self.stride[1] + 1,
        }
    }

    /// Size of a map after the epilogue.
    pub(super) fn output_size(&self, epilogue: Epilogue) -> MapSize {
        let size = self.map_size();
        match epilogue.pooling() {
            Some(pooling) => {
                let [height, width] = pooling.pooled([size.height, size.width]);
                MapSize { height, width }
            }
            None => size,
        }
    }

    /// Pixels of a patch, all channels together.
    pub(super) fn patch_len(&self) -> usize {
        self.channels_in * self.kernel[0] * self.kernel[1]
    }

    /// Values of an image.
    pub(super) fn image_len(&self) -> usize {
        self.channels_in * self.image_size().len()
    }

    /// Values of the maps of an image.
    pub(super) fn maps_len(&self) -> usize {
        self.channels_out * self.map_size().len()
    }
}
