//! Tensors of a checkpoint as f32 on the host.

use burn::tensor::TensorData;
use half::{bf16, f16};
use pytorch_reader::{DType, Tensor};

/// Reads a tensor of any floating-point type.
pub(super) fn read(tensor: &Tensor, max_bytes: u64) -> Result<TensorData, String> {
    let name = &tensor.name;
    // A view may claim far more than its storage holds; what fits the file is bounded by it.
    if tensor.byte_len() as u64 > max_bytes {
        return Err(format!("its tensor {name} claims {} bytes, more than the file has", tensor.byte_len()));
    }
    let to_values: fn(&[u8]) -> f32 = match tensor.dtype() {
        DType::F32 => |bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        DType::F64 => |bytes| f64::from_ne_bytes(std::array::from_fn(|index| bytes[index])) as f32,
        DType::F16 => |bytes| f16::from_ne_bytes([bytes[0], bytes[1]]).to_f32(),
        DType::BF16 => |bytes| bf16::from_ne_bytes([bytes[0], bytes[1]]).to_f32(),
        other => {
            return Err(format!("its tensor {name} holds {other:?}, and weights are floating-point numbers"));
        }
    };
    let bytes = tensor.read().map_err(|error| error.to_string())?;
    let values: Vec<f32> = bytes.chunks_exact(tensor.dtype().size()).map(to_values).collect();
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("its tensor {name} is not finite at position {position}"));
    }
    Ok(TensorData::new(values, tensor.shape().to_vec()))
}
