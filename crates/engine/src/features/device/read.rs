//! Reading tensors to the host.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use deepcluster_clustering::ClusteringError;

/// Message of a device failure, whatever its error type.
pub(crate) fn failed(during: &'static str, error: impl std::fmt::Display) -> ClusteringError {
    ClusteringError::Device { during, reason: error.to_string() }
}

/// The values of a tensor; `during` describes the use of the device, for errors.
pub(crate) fn floats<const D: usize>(
    tensor: Tensor<D>,
    during: &'static str,
) -> Result<Vec<f32>, ClusteringError> {
    let data = tensor.cast(DType::F32).try_into_data().map_err(|error| failed(during, error))?;
    data.try_into_vec().map_err(|error| failed(during, error))
}

/// The values of a tensor of 32-bit integers.
pub(crate) fn ints<const D: usize>(
    tensor: Tensor<D, Int>,
    during: &'static str,
) -> Result<Vec<i32>, ClusteringError> {
    let data = tensor.try_into_data().map_err(|error| failed(during, error))?;
    data.try_into_vec().map_err(|error| failed(during, error))
}

/// A matrix on a device.
pub(crate) fn matrix(values: Vec<f32>, columns: usize, device: &Device) -> Tensor<2> {
    let shape = [values.len() / columns, columns];
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// A vector on a device.
pub(crate) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Integers on a device.
pub(crate) fn int_vector(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), (device, DType::I32))
}
