//! The search as a backend extension.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::TensorData;

use super::{Magnitudes, host};
use crate::host_data::read_floats;

/// The nearest rows; the default computes on the host, wherever the tensors lie.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
)]
pub(super) trait NearestRowsOps: Backend {
    /// Numbers and scores, `[num_rows, count]` each.
    #[fusion(meta = |rows, _database, _half_norms, count, _magnitudes| outputs(rows, *count))]
    fn nearest_rows(
        rows: FloatTensor<Self>,
        database: FloatTensor<Self>,
        half_norms: FloatTensor<Self>,
        count: usize,
        _magnitudes: Option<Magnitudes>,
    ) -> (IntTensor<Self>, FloatTensor<Self>) {
        on_the_host::<Self>(rows, database, half_norms, count)
    }
}

/// Shapes and types of the outputs.
#[cfg(feature = "gpu")]
fn outputs(
    rows: &burn::backend::fusion::custom::TensorSpec,
    count: usize,
) -> (burn::backend::fusion::custom::TensorSpec, burn::backend::fusion::custom::TensorSpec) {
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::{DType, Shape};

    let shape = Shape::new([rows.shape[0], count]);
    (TensorSpec::new(shape.clone(), DType::I32), TensorSpec::new(shape, DType::F32))
}

pub(super) fn on_the_host<B: Backend>(
    rows: FloatTensor<B>,
    database: FloatTensor<B>,
    half_norms: FloatTensor<B>,
    count: usize,
) -> (IntTensor<B>, FloatTensor<B>) {
    let (device, shape) = (rows.device(), rows.shape());
    let [rows, database, half_norms] = [rows, database, half_norms].map(read_floats::<B>);
    let (indices, scores) = host::nearest_rows(&rows, &database, &half_norms, shape[1], count);
    let shape = [shape[0], count];
    let indices = B::int_from_data(TensorData::new(indices, shape), &device);
    (indices, B::float_from_data(TensorData::new(scores, shape), &device))
}

#[cfg(feature = "flex")]
impl NearestRowsOps for burn::backend::Flex {}
