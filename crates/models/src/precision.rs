//! Number types of computations.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

/// Number type of convolutions and fully connected layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision; the matrix units of NVIDIA may round factors to 11 bits (TF32).
    #[default]
    F32,
    /// bfloat16 with sums in single precision, on devices that have it. Weights and their steps, batch
    /// normalisation and the loss stay in single precision.
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

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::backbone::Backbone;
    use crate::convnet::architecture::{Architecture, ConvNetConfig};
    use crate::pass::Pass;

    #[test]
    fn bfloat16_computes_nearly_the_same_and_leaves_weights_and_gradients_in_single_precision() {
        let device = Device::flex().autodiff();
        assert!(Precision::Bf16.is_supported(&device));
        let values: Vec<f32> =
            (0..4 * 3 * 32 * 32).map(|place| (place * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let images = Tensor::<4>::from_data(TensorData::new(values, [4, 3, 32, 32]), &device);
        let mut config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
        config.dropout = 0.0;
        let run = |precision: Precision| {
            let network = config.init(3, &device).unwrap().with_precision(precision);
            let features = network.features(images.clone(), &Pass::inference());
            assert_eq!(features.dtype(), DType::F32);
            let gradients = (features.clone() * features.clone()).sum().backward();
            let of_fc7 = network.fc7.weight.val().grad(&gradients).unwrap();
            assert_eq!((network.fc7.weight.val().dtype(), of_fc7.dtype()), (DType::F32, DType::F32));
            [features.into_data(), of_fc7.into_data()].map(|data| data.try_into_vec::<f32>().unwrap())
        };
        let (single, half) = (run(Precision::F32), run(Precision::Bf16));
        for (single, half) in single.iter().zip(&half) {
            let size = single.iter().fold(0.0_f32, |size, value| size.max(value.abs()));
            let difference = single.iter().zip(half).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            // Eight bits, through eight layers; and not the same arithmetic.
            assert!(difference > 0.0 && difference < 0.1 * size, "{difference} of {size}");
        }
    }
}
