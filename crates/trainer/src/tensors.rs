//! Between the host and the device.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_data::ImageBatch;

use crate::error::TrainerError;

/// Takes the images of a batch to a device, `[batch, 3, size, size]`.
pub fn images_tensor(batch: &mut ImageBatch, device: &Device) -> Tensor<4> {
    let side = batch.size as usize;
    let pixels = std::mem::take(&mut batch.pixels);
    Tensor::from_data(TensorData::new(pixels, [batch.image_indices.len(), 3, side, side]), device)
}

/// The values of a tensor; `during` says what the device was used for.
///
/// # Errors
/// [`TrainerError::Device`].
pub fn host_values<const D: usize>(
    tensor: Tensor<D>,
    during: &'static str,
) -> Result<Vec<f32>, TrainerError> {
    let data = tensor.try_into_data().map_err(|error| TrainerError::device(during, error))?;
    data.try_to_vec().map_err(|error| TrainerError::device(during, format!("{error:?}")))
}
