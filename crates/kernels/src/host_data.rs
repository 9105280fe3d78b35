//! The values of a tensor of any backend, for operations that compute on the host.

use burn::backend::Backend;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{DType, TensorData, read_sync};

/// The values in single precision.
pub(crate) fn read_floats<B: Backend>(tensor: FloatTensor<B>) -> Vec<f32> {
    let data = read_sync(B::float_into_data(tensor));
    let data: TensorData = data.expect("a device in use can be read").convert_dtype(DType::F32);
    data.try_to_vec().expect("they have just become 32-bit numbers")
}

/// The values as 32-bit integers.
pub(crate) fn read_ints<B: Backend>(tensor: IntTensor<B>) -> Vec<i32> {
    let data = read_sync(B::int_into_data(tensor));
    let data: TensorData = data.expect("a device in use can be read").convert_dtype(DType::I32);
    data.try_to_vec().expect("they have just become 32-bit integers")
}
