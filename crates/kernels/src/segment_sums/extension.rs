//! The sums as a backend extension.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::TensorData;

use super::host;
use crate::host_data::{read_floats, read_ints};

/// Sums of segments; the default computes on the host, wherever the tensors lie.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
)]
pub(super) trait SegmentSumsOps: Backend {
    /// High and low parts, `[num_segments, dim]` each.
    #[fusion(meta = |_rows, _order, starts, scales, _low_bits| outputs(starts, scales))]
    fn segment_sums(
        rows: FloatTensor<Self>,
        order: IntTensor<Self>,
        starts: IntTensor<Self>,
        scales: FloatTensor<Self>,
        low_bits: u32,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        on_the_host::<Self>(rows, order, starts, scales, low_bits)
    }
}

/// Shapes and types of the outputs.
#[cfg(feature = "gpu")]
fn outputs(
    starts: &burn::backend::fusion::custom::TensorSpec,
    scales: &burn::backend::fusion::custom::TensorSpec,
) -> (burn::backend::fusion::custom::TensorSpec, burn::backend::fusion::custom::TensorSpec) {
    let shape = burn::tensor::Shape::new([starts.shape[0].saturating_sub(1), scales.shape[0]]);
    let sums = burn::backend::fusion::custom::TensorSpec::new(shape, burn::tensor::DType::I32);
    (sums.clone(), sums)
}

pub(super) fn on_the_host<B: Backend>(
    rows: FloatTensor<B>,
    order: IntTensor<B>,
    starts: IntTensor<B>,
    scales: FloatTensor<B>,
    low_bits: u32,
) -> (IntTensor<B>, IntTensor<B>) {
    let device = rows.device();
    let (rows, scales) = (read_floats::<B>(rows), read_floats::<B>(scales));
    let (order, starts) = (read_ints::<B>(order), read_ints::<B>(starts));
    let (high, low) = host::segment_sums(&rows, &order, &starts, &scales, low_bits);
    let shape = [starts.len().saturating_sub(1), scales.len()];
    let tensor = |values| B::int_from_data(TensorData::new(values, shape), &device);
    (tensor(high), tensor(low))
}

#[cfg(feature = "flex")]
impl SegmentSumsOps for burn::backend::Flex {}
