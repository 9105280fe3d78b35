//! Between the host and the device.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_data::ImageBatch;

use crate::error::TransferError;

/// The images of a batch, `[batch, 3, size, size]`.
pub(crate) fn images_tensor(batch: &mut ImageBatch, device: &Device) -> Tensor<4> {
    let side = batch.size as usize;
    let pixels = std::mem::take(&mut batch.pixels);
    Tensor::from_data(TensorData::new(pixels, [batch.image_indices.len(), 3, side, side]), device)
}

/// The values of a tensor; `during` says what the device was used for.
pub(crate) fn host_values<const D: usize>(
    tensor: Tensor<D>,
    during: &'static str,
) -> Result<Vec<f32>, TransferError> {
    let data = tensor.try_into_data().map_err(|error| TransferError::device(during, error))?;
    data.try_to_vec().map_err(|error| TransferError::device(during, format!("{error:?}")))
}
