//! What layers compute with.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

/// What convolutions and fully connected layers compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision; the matrix units of NVIDIA may round factors to 11 bits (TF32).
    #[default]
    F32,
    /// bfloat16 with sums in single precision, on devices that have it. Weights and their steps, batch normalisation and the
    /// loss stay in single precision.
    Bf16,
}

impl Precision {
    /// Whether `device` computes with it.
    pub fn is_supported(self, device: &Device) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => device.supports_dtype(FloatDType::BF16),
        }
    }

    /// An input or weights of a layer.
    pub(crate) fn enter<const D: usize>(self, values: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 => values,
            Self::Bf16 => values.cast(DType::BF16),
        }
    }

    /// The output of a layer, in single precision.
    pub(crate) fn leave<const D: usize>(self, values: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 => values,
            Self::Bf16 => values.cast(DType::F32),
        }
    }

    /// A fully connected layer on `[batch, inputs]`.
    pub(crate) fn linear(self, layer: &Linear, input: Tensor<2>) -> Tensor<2> {
        let bias = layer.bias.as_ref().map(Param::val).expect("linear layers are made with biases");
        let (input, weight) = (self.enter(input), self.enter(layer.weight.val()));
        self.leave(deepcluster_kernels::linear(input, weight, self.enter(bias)))
    }
}
