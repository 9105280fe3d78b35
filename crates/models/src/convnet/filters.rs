//! One convolution of a network, for pictures of what activates its filters.

use burn::tensor::Tensor;

use crate::convnet::ConvNet;
use crate::convnet::parts::MapGeometry;

/// Receptive field of the cells of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReceptiveField {
    /// Where the cells lie.
    pub geometry: MapGeometry,
    /// Side of the square that a cell sees, in pixels; part of it may lie beyond the edge.
    pub size: usize,
}

impl ReceptiveField {
    /// First and last pixel that cell `index` sees along a side of `length` pixels, both within the image.
    pub fn span(&self, index: usize, length: usize) -> (usize, usize) {
        let centre = self.geometry.first + index as f64 * self.geometry.stride;
        let half = (self.size as f64 - 1.0) / 2.0;
        let last = length.saturating_sub(1) as f64;
        ((centre - half).clamp(0.0, last) as usize, (centre + half).clamp(0.0, last) as usize)
    }
}

impl ConvNet {
    /// Number of convolutions.
    pub fn num_convolutions(&self) -> usize {
        self.blocks.len()
    }

    /// Number of filters of the convolution `index`, from 0.
    ///
    /// # Panics
    /// If there is no such convolution. The other methods that take an index panic likewise.
    pub fn num_filters(&self, index: usize) -> usize {
        self.blocks[index].convolution.weight.dims()[0]
    }

    /// The convolution `index` after its batch norm and before its ReLU, `[batch, channels, h, w]`, of images
    /// of any size that leaves something, `[batch, 3, height, width]`. Later layers are not computed.
    pub fn forward_filters(&self, images: Tensor<4>, index: usize) -> Tensor<4> {
        let earlier = self.blocks[..index].iter();
        let maps = earlier.fold(self.network_input(images), |maps, block| block.forward(maps));
        let block = &self.blocks[index];
        block.norm.forward(block.convolve(maps))
    }

    /// Receptive field of the convolution `index`.
    pub fn receptive_field(&self, index: usize) -> ReceptiveField {
        // The Sobel filter looks at one pixel more on each side.
        let mut size = if self.has_sobel() { 3 } else { 1 };
        let mut step = 1;
        for (number, block) in self.blocks[..=index].iter().enumerate() {
            let ([kernel, _], [stride, _]) = (block.convolution.kernel_size, block.convolution.stride);
            size += (kernel - 1) * step;
            step *= stride;
            if number < index && block.pooling_size > 0 {
                size += (block.pooling_size - 1) * step;
                step *= block.pooling_stride;
            }
        }
        ReceptiveField { geometry: self.geometry_of(index), size }
    }

    /// Weights of the first convolution, `[filters, planes, side, side]`; planes are the two derivatives of
    /// the Sobel filter, or red, green and blue.
    pub fn first_kernels(&self) -> Tensor<4> {
        self.blocks[0].convolution.weight.val()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::relu;
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;
    use crate::backbone::Backbone;
    use crate::convnet::architecture::{Architecture, ConvNetConfig};

    fn network(architecture: Architecture, size: usize, sobel: bool) -> ConvNet {
        ConvNetConfig::new(architecture, size, sobel, 0.1).unwrap().init(5, &Device::flex()).unwrap()
    }

    #[test]
    fn filters_before_their_relu_are_the_taps() {
        let network = network(Architecture::AlexnetSmall, 32, true);
        let images = Tensor::random([2, 3, 32, 32], Distribution::Normal(0.0, 1.0), &Device::flex());
        for index in 0..network.num_convolutions() {
            let name = format!("conv{}", index + 1);
            let tap = network.activations(images.clone(), &[&name]).remove(0).into_rows();
            let maps = network.forward_filters(images.clone(), index);
            assert_eq!(maps.dims()[1], network.num_filters(index));
            let maps: Tensor<2> = relu(maps).flatten(1, 3);
            let (maps, tap) = (maps.into_data(), tap.into_data());
            maps.assert_approx_eq::<f32>(&tap, Tolerance::absolute(1e-5));
        }
    }

    #[test]
    fn receptive_fields_are_those_of_alexnet() {
        // 11; 11 + 2 * 4 + 4 * 8; then pooling 2 * 8 and three times 2 * 16. Sobel adds 2.
        let sizes = |sobel| {
            let network = network(Architecture::Alexnet, 224, sobel);
            (0..5).map(|index| network.receptive_field(index).size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(false), [11, 51, 99, 131, 163]);
        assert_eq!(sizes(true), [13, 53, 101, 133, 165]);
        let field = network(Architecture::Alexnet, 224, false).receptive_field(0);
        // The first cell is centred at pixel 3: two pixels of padding before the image.
        assert_eq!((field.span(0, 224), field.span(54, 224)), ((0, 8), (214, 223)));
    }

    #[test]
    fn only_the_receptive_field_of_a_cell_moves_it() {
        let network = network(Architecture::AlexnetSmall, 64, true);
        let device = Device::flex();
        for index in 0..3 {
            let field = network.receptive_field(index);
            let plain = network.forward_filters(Tensor::zeros([1, 3, 64, 64], &device), index);
            let cell = plain.dims()[3] / 2;
            let (first, last) = field.span(cell, 64);
            let answer = |column: usize| {
                let stripe = Tensor::ones([1, 3, 64, 1], &device);
                let images = Tensor::zeros([1, 3, 64, 64], &device);
                let images = images.slice_assign([0..1, 0..3, 0..64, column..column + 1], stripe);
                let maps = network.forward_filters(images, index);
                let change = (maps - plain.clone()).abs();
                let [_, channels, height, _] = change.dims();
                change.slice([0..1, 0..channels, 0..height, cell..cell + 1]).sum().into_scalar::<f32>()
            };
            assert!(answer(first) > 0.0 && answer(last) > 0.0, "convolution {index}: {field:?}");
            assert_eq!(answer(first - 1), 0.0, "convolution {index}: {field:?}");
            assert_eq!(answer(last + 1), 0.0, "convolution {index}: {field:?}");
        }
    }
}
