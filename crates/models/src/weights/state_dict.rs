//! The `state_dict` of the original networks.

use crate::{NamedWeights, SOBEL_KERNELS};
use burn::tensor::TensorData;

use super::array::Array;
use super::export::{ExportedNetwork, mismatch};
use crate::convnet::keys::{PytorchParameter, pytorch_head, pytorch_parameters};
use crate::weights::error::WeightsError;

/// Every tensor that `load_state_dict(strict=True)` of the original class asks for, `top_layer` only where
/// there is a head.
pub(crate) fn state_dict<'a>(network: &ExportedNetwork<'a>) -> Result<Vec<Array<'a>>, WeightsError> {
    let mut arrays = Vec::new();
    for parameter in pytorch_parameters(network.config) {
        if let Some(norm) = parameter.pytorch_name.strip_suffix(".running_mean") {
            // Batches seen in training. PyTorch reads it only where batch norm has no momentum.
            arrays.push(Array::from_i64(format!("{norm}.num_batches_tracked"), 0));
        }
        arrays.push(array(network.network, parameter)?);
    }
    if let Some(head) = network.head {
        for parameter in pytorch_head() {
            arrays.push(array(head, parameter)?);
        }
    }
    if network.config.sobel {
        arrays.extend(sobel_arrays());
    }
    Ok(arrays)
}

/// The fixed filters as the original has them: the mean of the colours as a convolution, then the two
/// derivatives.
pub(crate) fn sobel_arrays() -> [Array<'static>; 4] {
    [
        Array::from_f32("sobel.0.weight", vec![1, 3, 1, 1], vec![1.0 / 3.0; 3]),
        Array::from_f32("sobel.0.bias", vec![1], vec![0.0]),
        Array::from_f32("sobel.1.weight", vec![2, 1, 3, 3], SOBEL_KERNELS.as_flattened().to_vec()),
        Array::from_f32("sobel.1.bias", vec![2], vec![0.0; 2]),
    ]
}

fn array(weights: &NamedWeights, parameter: PytorchParameter) -> Result<Array<'_>, WeightsError> {
    let PytorchParameter { name, pytorch_name, is_transposed, .. } = parameter;
    let data: &TensorData =
        weights.get(&name).ok_or_else(|| mismatch(format!("the weight '{name}' is missing")))?;
    if is_transposed {
        Ok(Array::transposed(pytorch_name, data))
    } else {
        Array::from_data(pytorch_name, data)
    }
}
