//! The values as a backend extension.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::TensorData;

use super::{ByteScale, host};
use crate::host_data::read_ints;

/// The values of bytes; the default computes on the host, wherever the tensors lie.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff,
)]
pub(super) trait ImageValuesOps: Backend {
    /// `[num_images, 3, size, size]` of four bytes in each of `words`, and 0 or 1 for each image.
    #[fusion(meta = |_words, flips, size, _scale| output(flips, *size))]
    fn image_values(
        words: IntTensor<Self>,
        flips: IntTensor<Self>,
        size: usize,
        scale: ByteScale,
    ) -> FloatTensor<Self> {
        on_the_host::<Self>(words, flips, size, scale)
    }
}

/// Shape and type of the output.
#[cfg(feature = "gpu")]
fn output(
    flips: &burn::backend::fusion::custom::TensorSpec,
    size: usize,
) -> burn::backend::fusion::custom::TensorSpec {
    let shape = burn::tensor::Shape::new([flips.shape[0], 3, size, size]);
    burn::backend::fusion::custom::TensorSpec::new(shape, burn::tensor::DType::F32)
}

pub(super) fn on_the_host<B: Backend>(
    words: IntTensor<B>,
    flips: IntTensor<B>,
    size: usize,
    scale: ByteScale,
) -> FloatTensor<B> {
    let device = words.device();
    let (words, flips) = (read_ints::<B>(words), read_ints::<B>(flips));
    let values = host::image_values(&words, &flips, size, scale);
    B::float_from_data(TensorData::new(values, [flips.len(), 3, size, size]), &device)
}

#[cfg(feature = "flex")]
impl ImageValuesOps for burn::backend::Flex {}

/// Images have no gradient.
impl<B: ImageValuesOps, C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy> ImageValuesOps
    for burn::backend::autodiff::Autodiff<B, C>
{
    fn image_values(
        words: IntTensor<Self>,
        flips: IntTensor<Self>,
        size: usize,
        scale: ByteScale,
    ) -> FloatTensor<Self> {
        use burn::backend::AutodiffBackend;

        Self::from_inner(B::image_values(words, flips, size, scale))
    }
}
