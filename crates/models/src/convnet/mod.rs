//! AlexNet and VGG-16 as one module: Sobel, convolution blocks, two fully connected layers.

pub(crate) mod architecture;
pub(crate) mod filters;
pub(crate) mod keys;
pub(crate) mod parts;
pub(crate) mod shapes;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use deepcluster_kernels::{Pooling, conv2d, conv2d_relu_pool, sobel};

use crate::activation::Activation;
use crate::backbone::{Backbone, DenseBackbone};
use crate::batch_norm::BatchNorm2d;
use crate::convnet::architecture::{Architecture, ConvBlockConfig, ConvNetConfig};
use crate::error::ModelError;
use crate::head::linear;
use crate::initialization::WeightInitializer;
use crate::input::Input;
use crate::layer::{LayerInfo, LayerKind};
use crate::pass::{Dropout, Pass};
use crate::precision::Precision;

/// A convolution with batch normalisation and ReLU, then max-pooling where the architecture has it.
#[derive(Module, Debug)]
pub struct ConvBlock {
    pub(crate) convolution: Conv2d,
    pub(crate) norm: BatchNorm2d,
    pub(crate) pooling_size: usize,
    pub(crate) pooling_stride: usize,
    #[module(skip)]
    precision: Precision,
}

/// AlexNet or VGG-16, made by [`ConvNetConfig::init`].
#[derive(Module, Debug)]
pub struct ConvNet {
    pub(crate) blocks: Vec<ConvBlock>,
    pub(crate) fc6: Linear,
    pub(crate) fc7: Linear,
    pub(crate) dropout_fc6: Dropout,
    pub(crate) dropout_fc7: Dropout,
    sobel: bool,
    #[module(skip)]
    architecture: Architecture,
    #[module(skip)]
    input: Input,
    #[module(skip)]
    pub(crate) precision: Precision,
}

impl ConvNetConfig {
    /// Builds the network with initial weights drawn from `seed` as in the original code: convolutions from
    /// `N(0, sqrt(2 / (kernel^2 * filters)))`, linear layers from `N(0, 0.01)`, biases 0, batch norm 1 and 0.
    ///
    /// # Errors
    /// Those of [`ConvNetConfig::validate`].
    pub fn init(&self, seed: u64, device: &Device) -> Result<ConvNet, ModelError> {
        self.validate()?;
        let mut initializer = WeightInitializer::from_seed(seed);
        let mut planes = self.input_planes();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for config in &self.blocks {
            blocks.push(ConvBlock::new(config, planes, &mut initializer, device));
            planes = config.channels;
        }
        let side = self.output_side(self.image_size).expect("validate() has checked the image size");
        let width = self.fully_connected;
        let mut fully_connected = |inputs: usize| {
            let weight = initializer.normal([inputs, width], 0.01, device);
            linear(weight, WeightInitializer::zeros([width], device))
        };
        Ok(ConvNet {
            blocks,
            fc6: fully_connected(planes * side * side),
            fc7: fully_connected(width),
            dropout_fc6: Dropout::new(if self.dropout_before_first { self.dropout } else { 0.0 }),
            dropout_fc7: Dropout::new(self.dropout),
            sobel: self.sobel,
            architecture: self.architecture,
            input: Input::for_side(self.image_size),
            precision: Precision::F32,
        })
    }
}

impl ConvBlock {
    fn new(
        config: &ConvBlockConfig,
        planes: usize,
        initializer: &mut WeightInitializer,
        device: &Device,
    ) -> Self {
        let ConvBlockConfig { channels, kernel, stride, padding, pooling } = *config;
        let standard_deviation = (2.0 / (kernel * kernel * channels) as f64).sqrt();
        let convolution = Conv2d {
            weight: initializer.normal([channels, planes, kernel, kernel], standard_deviation, device),
            bias: Some(WeightInitializer::zeros([channels], device)),
            stride: [stride, stride],
            kernel_size: [kernel, kernel],
            dilation: [1, 1],
            groups: 1,
            padding: PaddingConfig2d::Explicit(padding, padding, padding, padding),
        };
        Self {
            convolution,
            norm: BatchNorm2d::new(channels, device),
            pooling_size: pooling.map_or(0, |pooling| pooling.size),
            pooling_stride: pooling.map_or(0, |pooling| pooling.stride),
            precision: Precision::F32,
        }
    }

    /// Convolution, batch norm, ReLU and pooling: `[batch, planes, h, w]` to `[batch, channels, h', w']`.
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.activate_and_pool(input, self.pooling())
    }

    /// Convolution, batch norm and ReLU, before the pooling.
    pub(crate) fn activate(&self, input: Tensor<4>) -> Tensor<4> {
        self.activate_and_pool(input, Pooling::NONE)
    }

    fn activate_and_pool(&self, input: Tensor<4>, pooling: Pooling) -> Tensor<4> {
        if self.norm.is_training(&input.device()) {
            return self.norm.forward_relu_pool(self.convolve(input), pooling);
        }
        // Factor and summand of batch norm are folded into weights and biases.
        let (factor, shift) = self.norm.factor_and_shift();
        let channels = factor.dims()[0];
        let weight = self.convolution.weight.val() * factor.clone().reshape([channels, 1, 1, 1]);
        let bias = self.bias() * factor + shift;
        let (input, weight, bias) =
            (self.precision.enter(input), self.precision.enter(weight), self.precision.enter(bias));
        let stride = self.convolution.stride;
        self.precision.leave(conv2d_relu_pool(input, weight, bias, stride, self.padding(), pooling))
    }

    /// The convolution alone.
    pub(crate) fn convolve(&self, input: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.convolution.weight.val(), self.bias());
        let (input, weight, bias) =
            (self.precision.enter(input), self.precision.enter(weight), self.precision.enter(bias));
        self.precision.leave(conv2d(input, weight, bias, self.convolution.stride, self.padding()))
    }

    pub(crate) fn pool(&self, activation: Tensor<4>) -> Tensor<4> {
        if self.pooling_size == 0 {
            return activation;
        }
        let mut options = MaxPoolOptions::new([self.pooling_size; 2]);
        options.stride = [self.pooling_stride; 2];
        max_pool2d(activation, options)
    }

    fn pooling(&self) -> Pooling {
        match self.pooling_size {
            0 => Pooling::NONE,
            size => Pooling { size, stride: self.pooling_stride },
        }
    }

    fn bias(&self) -> Tensor<1> {
        self.convolution.bias.as_ref().expect("the convolutions are made with biases").val()
    }

    fn padding(&self) -> [usize; 2] {
        match self.convolution.padding {
            PaddingConfig2d::Explicit(top, left, ..) => [top, left],
            _ => unreachable!("the convolutions are made with explicit padding"),
        }
    }
}

impl ConvNet {
    /// The network with layers that compute with `precision`; its weights stay as they are.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self.blocks.iter_mut().for_each(|block| block.precision = precision);
        self
    }

    /// Whether the fixed Sobel filter stands before the first convolution.
    pub fn has_sobel(&self) -> bool {
        self.sobel
    }

    pub(crate) fn network_input(&self, images: Tensor<4>) -> Tensor<4> {
        if self.sobel { sobel(images) } else { images }
    }
}

/// Name of the pooled maps of the last convolution.
const POOLED: &str = "convolutions";
/// Name of the features.
const FEATURES: &str = "fc7";

impl Backbone for ConvNet {
    fn name(&self) -> String {
        self.architecture.to_string()
    }

    fn input(&self) -> &Input {
        &self.input
    }

    fn feature_dim(&self) -> usize {
        self.fc7.weight.dims()[1]
    }

    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.features_of_pooled(self.pooled_maps(images), pass)
    }

    /// `conv1` and further convolutions, `convolutions` (the pooled maps of the last), and `fc7`.
    fn layers(&self) -> Vec<LayerInfo> {
        layers((0..self.blocks.len()).map(|index| self.num_filters(index)), self.feature_dim())
    }

    fn activations(&self, images: Tensor<4>, layers: &[&str]) -> Vec<Activation> {
        let is_wanted = |index: usize| layers.contains(&tap_name(index).as_str());
        let num_taps =
            (0..self.blocks.len()).rev().find(|&index| is_wanted(index)).map_or(0, |last| last + 1);
        let taps = self.forward_taps(images.clone(), num_taps);
        let activation = |&layer: &&str| match layer {
            POOLED => Activation::Map(self.pooled_maps(images.clone())),
            FEATURES => Activation::Vector(self.features(images.clone(), &Pass::inference())),
            name => {
                let tap = (0..taps.len()).find(|&index| tap_name(index) == name);
                Activation::Map(taps[tap.expect("the layer is one of layers()")].clone())
            }
        };
        layers.iter().map(activation).collect()
    }
}

/// The layers of a network whose convolutions have these numbers of filters.
pub(crate) fn layers(filters: impl Iterator<Item = usize>, feature_dim: usize) -> Vec<LayerInfo> {
    let mut layers: Vec<LayerInfo> = filters
        .enumerate()
        .map(|(index, filters)| LayerInfo::new(tap_name(index), LayerKind::Convolution, filters))
        .collect();
    let last = layers.last().map_or(0, |last| last.channels);
    layers.push(LayerInfo::new(POOLED, LayerKind::Pooling, last));
    layers.push(LayerInfo::new(FEATURES, LayerKind::Vector, feature_dim));
    layers
}

fn tap_name(index: usize) -> String {
    format!("conv{}", index + 1)
}

impl ConvNet {
    /// The first `num_taps` convolutions after their ReLU, before their pooling.
    fn forward_taps(&self, images: Tensor<4>, num_taps: usize) -> Vec<Tensor<4>> {
        if num_taps == 0 {
            return Vec::new();
        }
        let mut maps = self.network_input(images);
        let mut taps = Vec::with_capacity(num_taps);
        for block in &self.blocks[..num_taps] {
            let activation = block.activate(maps);
            taps.push(activation.clone());
            maps = block.pool(activation);
        }
        taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convnet::architecture::Architecture;

    fn small(device: &Device) -> ConvNet {
        ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap().init(3, device).unwrap()
    }

    #[test]
    fn features_have_the_announced_shape() {
        let device = Device::flex();
        let network = small(&device);
        let features = network.features(Tensor::zeros([2, 3, 32, 32], &device), &Pass::inference());
        assert_eq!(features.dims(), [2, network.feature_dim()]);
        let taps = network.activations(Tensor::zeros([2, 3, 32, 32], &device), &["conv1"]);
        assert_eq!(taps[0].dims(), [2, 12, 32, 32]);
    }

    #[test]
    fn the_same_seed_draws_the_same_network() {
        let device = Device::flex();
        let weights = |seed| {
            let network = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
            network.init(seed, &device).unwrap().fc7.weight.val().into_data()
        };
        assert_eq!(weights(5), weights(5));
        assert_ne!(weights(5), weights(6));
    }

    #[test]
    fn inference_leaves_the_running_statistics_alone() {
        let device = Device::flex();
        let training = small(&device.clone().autodiff());
        let inference = training.valid();
        let images = Tensor::<4>::ones([2, 3, 32, 32], &device);
        let before = inference.features(images.clone(), &Pass::inference()).into_data();
        let on_training_device = Tensor::<4>::ones([2, 3, 32, 32], &device.autodiff());
        let _ = training.features(on_training_device, &Pass::training(1));
        let after = inference.features(images, &Pass::inference()).into_data();
        assert_eq!(before, after);
    }
}
