//! Network parts used by detection, segmentation and fine-tuning.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use crate::backbone::DenseBackbone;
use crate::convnet::ConvNet;
use crate::head::linear;
use crate::initialization::WeightInitializer;
use crate::pass::Pass;

/// Where the cells of a map lie in the image: the centre of cell `i` is at pixel `first + i * stride`, pixel
/// centres being whole numbers, in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapGeometry {
    /// Pixels between neighbouring cells.
    pub stride: f64,
    /// Centre of the first cell.
    pub first: f64,
}

impl MapGeometry {
    const IMAGE: Self = Self { stride: 1.0, first: 0.0 };

    /// After a layer with windows of `size`, `stride` and `padding` cells.
    fn after(self, size: usize, stride: usize, padding: usize) -> Self {
        let middle = (size as f64 - 1.0) / 2.0 - padding as f64;
        Self { stride: self.stride * stride as f64, first: self.first + middle * self.stride }
    }
}

impl ConvNet {
    /// Where the cells of the convolution `index` lie.
    pub(crate) fn geometry_of(&self, index: usize) -> MapGeometry {
        self.blocks[..=index].iter().enumerate().fold(MapGeometry::IMAGE, |geometry, (number, block)| {
            let [kernel, _] = block.convolution.kernel_size;
            let padding = match block.convolution.padding {
                burn::nn::PaddingConfig2d::Explicit(top, ..) => top,
                _ => 0,
            };
            let geometry = geometry.after(kernel, block.convolution.stride[0], padding);
            let is_pooled = block.pooling_size > 0 && number < index;
            if is_pooled { geometry.after(block.pooling_size, block.pooling_stride, 0) } else { geometry }
        })
    }
}

impl DenseBackbone for ConvNet {
    /// The last convolution after its ReLU.
    fn maps(&self, images: Tensor<4>) -> Tensor<4> {
        let (last, earlier) = self.blocks.split_last().expect("a network has at least one block");
        let maps = earlier.iter().fold(self.network_input(images), |maps, block| block.forward(maps));
        last.activate(maps)
    }

    fn pool(&self, maps: Tensor<4>) -> Tensor<4> {
        self.blocks.last().expect("a network has at least one block").pool(maps)
    }

    fn pooled_maps(&self, images: Tensor<4>) -> Tensor<4> {
        self.blocks.iter().fold(self.network_input(images), |maps, block| block.forward(maps))
    }

    /// 6 of AlexNet, 7 of VGG-16.
    fn pooled_side(&self) -> usize {
        let channels = self.blocks.last().map_or(1, |block| block.convolution.weight.dims()[0]);
        (self.fc6.weight.dims()[0] / channels).isqrt()
    }

    fn features_of_pooled(&self, pooled: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let flat: Tensor<2> = pooled.flatten(1, 3); // [batch, channels * side * side]
        let hidden = relu(self.precision.linear(&self.fc6, self.dropout_fc6.forward(flat, pass)));
        self.precision.linear(&self.fc7, self.dropout_fc7.forward(hidden, pass))
    }

    /// The fully connected layers as convolutions (Long, Shelhamer & Darrell, CVPR 2015, section 3.1). Beyond
    /// the edge the maps are taken for 0.
    fn dense_features(&self, pooled: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [batch, channels, height, width] = pooled.dims();
        let (side, width_fc) = (self.pooled_side(), self.fc6.weight.dims()[1]);
        let (before, after) = ((side - 1) / 2, side / 2);
        let padded = pooled.pad((before, after, before, after), 0.0);
        let padded = self.dropout_fc6.forward(padded, pass);
        let kernel: Tensor<4> = self.fc6.weight.val().transpose().reshape([width_fc, channels, side, side]);
        let bias = self.fc6.bias.as_ref().map(Param::val);
        let hidden = relu(conv2d(padded, kernel, bias, ConvOptions::new([1, 1], [0, 0], [1, 1], 1)));
        let hidden = self.dropout_fc7.forward(hidden, pass);
        let cells = hidden.permute([0, 2, 3, 1]).reshape([batch * height * width, width_fc]);
        let features = self.precision.linear(&self.fc7, cells);
        let feature_dim = features.dims()[1];
        features.reshape([batch, height, width, feature_dim]).permute([0, 3, 1, 2])
    }

    fn map_geometry(&self) -> MapGeometry {
        self.geometry_of(self.blocks.len() - 1)
    }

    fn dense_geometry(&self) -> MapGeometry {
        let last = self.blocks.last().expect("a network has at least one block");
        let mut geometry = self.map_geometry();
        if last.pooling_size > 0 {
            geometry = geometry.after(last.pooling_size, last.pooling_stride, 0);
        }
        let side = self.pooled_side();
        geometry.after(side, 1, (side - 1) / 2)
    }

    fn is_after_maps(&self, weight: &str) -> bool {
        weight.starts_with("fc")
    }

    /// Weights from `N(0, 0.01)`.
    fn with_new_layers_after_maps(mut self, seed: u64, bias: f64, device: &Device) -> Self {
        let mut initializer = WeightInitializer::from_seed(seed);
        for layer in [&mut self.fc6, &mut self.fc7] {
            let shape = layer.weight.dims();
            let biases = Tensor::full([shape[1]], bias, device);
            *layer = linear(initializer.normal(shape, 0.01, device), Param::from_tensor(biases));
        }
        self
    }

    fn for_fine_tuning(self, learns: impl Fn(&str) -> bool) -> Self {
        let mut network = crate::weights::named::track_gradients(self.train(), learns);
        network.blocks.iter_mut().for_each(|block| block.norm.fix_statistics());
        network
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::TensorData;

    use super::*;
    use crate::{Architecture, Backbone, ConvNetConfig};

    fn network(architecture: Architecture, size: usize) -> ConvNet {
        let config = ConvNetConfig::new(architecture, size, true, 0.125).unwrap();
        config.init(3, &Device::flex()).unwrap()
    }

    fn images(height: usize, width: usize) -> Tensor<4> {
        let values = (0..3 * height * width).map(|index| ((index * 7919) % 256) as f32 / 256.0 - 0.5);
        Tensor::from_data(
            TensorData::new(values.collect::<Vec<f32>>(), [1, 3, height, width]),
            &Device::flex(),
        )
    }

    fn assert_close<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
        assert_eq!(a.dims(), b.dims());
        let scale = b.clone().abs().max().into_scalar::<f32>();
        let difference = (a - b).abs().max().into_scalar::<f32>();
        assert!(difference <= 1e-5 * scale, "{difference} beside {scale}");
    }

    #[test]
    fn the_parts_together_are_the_network() {
        let network = network(Architecture::AlexnetSmall, 32);
        let images = images(32, 32);
        let pooled = network.pool(network.maps(images.clone()));
        assert_eq!(pooled.dims()[2], network.pooled_side());
        let features = network.features_of_pooled(pooled.clone(), &Pass::inference());
        assert_close(features.clone(), network.features(images, &Pass::inference()));
        // The one place whose window is the whole map.
        let dense = network.dense_features(pooled, &Pass::inference());
        assert_eq!(dense.dims()[2..], [3, 3]);
        assert_close(dense.slice([0..1, 0..features.dims()[1], 1..2, 1..2]).reshape([1, -1]), features);
    }

    #[test]
    fn geometry_is_that_of_the_paper() {
        let alexnet = network(Architecture::Alexnet, 224);
        assert_eq!(alexnet.pooled_side(), 6);
        assert_eq!(alexnet.map_geometry(), MapGeometry { stride: 16.0, first: 15.0 });
        // Pooling of 3 by 2 adds a cell of 16 pixels, the window of 6 with padding 2 half a cell of 32.
        assert_eq!(alexnet.dense_geometry(), MapGeometry { stride: 32.0, first: 15.0 + 16.0 + 16.0 });
        let vgg16 = network(Architecture::Vgg16, 64);
        assert_eq!(vgg16.map_geometry(), MapGeometry { stride: 16.0, first: 7.5 });
    }

    #[test]
    fn a_change_of_the_image_moves_the_cell_above_it() {
        // The cell whose centre is nearest to the pixel is activated most, in a network of positive weights.
        let network = network(Architecture::AlexnetSmall, 32);
        let geometry = network.map_geometry();
        let plain = network.maps(images(96, 96));
        let mut data = images(96, 96).into_data();
        let cell = 3;
        let pixel = (geometry.first + cell as f64 * geometry.stride) as usize;
        let values = data.as_mut_slice::<f32>().unwrap();
        for row in pixel - 2..pixel + 3 {
            for column in pixel - 2..pixel + 3 {
                (0..3).for_each(|plane| values[(plane * 96 + row) * 96 + column] += 4.0);
            }
        }
        let moved = network.maps(Tensor::from_data(data, &Device::flex()));
        let change = (moved - plain).abs().sum_dim(1); // [1, 1, h, w]
        let [_, _, height, width] = change.dims();
        let change: Vec<f32> = change.into_data().try_to_vec().unwrap();
        let most = (0..height * width).max_by(|&a, &b| change[a].total_cmp(&change[b])).unwrap();
        let (row, column) = (most / width, most % width);
        assert!(row.abs_diff(cell) <= 1 && column.abs_diff(cell) <= 1, "{row} {column}");
    }

    #[test]
    fn fine_tuning_moves_what_it_should_and_no_statistics() {
        let network = network(Architecture::AlexnetSmall, 32);
        let expected = network.features(images(32, 32), &Pass::inference());
        let before = crate::export_weights(&network).unwrap();
        let tuned = network.for_fine_tuning(|name| name.starts_with("fc"));
        let device = Device::flex().autodiff();
        let input = Tensor::from_data(images(32, 32).into_data(), &device);
        let features = tuned.features(input, &Pass::inference());
        assert_close(features.clone().inner(), expected);
        let gradients = GradientsParams::from_grads(features.sum().backward(), &tuned);
        assert_eq!(gradients.len(), 4);
        assert_eq!(crate::export_weights(&tuned).unwrap(), before);
        let renewed = tuned.with_new_layers_after_maps(5, 0.1, &device);
        let bias = crate::export_weights(&renewed).unwrap()["fc7.bias"].clone().try_to_vec::<f32>().unwrap();
        assert!(bias.iter().all(|&value| value == 0.1));
    }
}
