//! Between the host and the device.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_data::ImageBatch;
use deepcluster_kernels::{ByteScale, ImageBytes, device_limits, image_values};

use crate::error::EngineError;

/// Takes the images of a batch to a device, `[batch, 3, size, size]`: as bytes where it is not the host.
pub fn images_tensor(batch: &ImageBatch, device: &Device) -> Tensor<4> {
    let side = batch.size as usize;
    if device_limits(device).is_none() {
        return Tensor::from_data(
            TensorData::new(batch.pixels(), [batch.image_indices.len(), 3, side, side]),
            device,
        );
    }
    let (factors, offsets) = batch.normalization().of_bytes();
    let images = ImageBytes { bytes: &batch.bytes(), flips: &batch.flips(), size: side };
    image_values(images, ByteScale { factors, offsets }, device)
}

/// The values of a tensor; `during` describes the use of the device, for errors.
///
/// # Errors
/// [`EngineError::Device`].
pub fn host_values<const D: usize>(tensor: Tensor<D>, during: &'static str) -> Result<Vec<f32>, EngineError> {
    let data = tensor.try_into_data().map_err(|error| EngineError::device(during, error))?;
    data.try_to_vec().map_err(|error| EngineError::device(during, format!("{error:?}")))
}
