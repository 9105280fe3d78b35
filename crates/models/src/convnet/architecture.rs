//! The layers of AlexNet and VGG-16, and a small variant for small images.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backbone::NetworkInfo;
use crate::convnet::layers;
use crate::error::ModelError;

/// The networks that come with this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// AlexNet with batch normalisation and without local response normalisation, as in the original code;
    /// images from 63 px, 224 px in the paper.
    Alexnet,
    /// AlexNet for small images (from 32 px): five convolutions of stride 1 with half of AlexNet's channels
    /// and fully connected layers of 1,024.
    AlexnetSmall,
    /// VGG-16 with batch normalisation; images from 32 px, 224 px in the paper.
    Vgg16,
}

impl Architecture {
    /// Every architecture, for help texts.
    pub const ALL: [Architecture; 3] = [Self::Alexnet, Self::AlexnetSmall, Self::Vgg16];

    /// The name used in configuration files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alexnet => "alexnet",
            Self::AlexnetSmall => "alexnet-small",
            Self::Vgg16 => "vgg16",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Max-pooling of square windows without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    /// Side of the window in pixels.
    pub size: usize,
    /// Step between windows in pixels.
    pub stride: usize,
}

/// One convolution with batch normalisation, ReLU and, after some, max-pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvBlockConfig {
    /// Number of filters.
    pub channels: usize,
    /// Side of the square kernel in pixels.
    pub kernel: usize,
    /// Step of the kernel in pixels.
    pub stride: usize,
    /// Zero padding on each side in pixels.
    pub padding: usize,
    /// Max-pooling after the ReLU.
    pub pooling: Option<Pooling>,
}

/// A chain of convolution blocks and two fully connected layers, the form of both AlexNet and VGG-16.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvNetConfig {
    /// Which network this is, for messages.
    pub architecture: Architecture,
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Whether the fixed Sobel filter replaces colour (two input planes) or the network sees RGB (three).
    pub sobel: bool,
    /// The convolutions, first to last.
    pub blocks: Vec<ConvBlockConfig>,
    /// Width of the two fully connected layers; the second gives the features.
    pub fully_connected: usize,
    /// Whether dropout comes before the first fully connected layer too (AlexNet) or only between the two
    /// (VGG-16).
    pub dropout_before_first: bool,
    /// Probability of dropout, in `[0, 1)`; 0.5 in the paper.
    pub dropout: f64,
}

const POOL_3_2: Pooling = Pooling { size: 3, stride: 2 };
const POOL_2_2: Pooling = Pooling { size: 2, stride: 2 };

/// Most weights of a network: 4 GiB as `f32`, seven times those of VGG-16.
pub const MAX_WEIGHTS: u64 = 1 << 30;

impl ConvNetConfig {
    /// The layers of `architecture` with every channel count and width multiplied by `width` (1.0 is the
    /// original).
    ///
    /// # Errors
    /// [`ModelError::InvalidConfig`] for a width outside `(0, 8]` or more than [`MAX_WEIGHTS`],
    /// [`ModelError::ImageTooSmall`] where the maps would shrink to nothing.
    pub fn new(
        architecture: Architecture,
        image_size: usize,
        sobel: bool,
        width: f64,
    ) -> Result<Self, ModelError> {
        if !(width > 0.0 && width <= 8.0) {
            return Err(ModelError::InvalidConfig {
                field: "network.width",
                value: width.to_string(),
                allowed: "more than 0 and at most 8".to_string(),
            });
        }
        let scale = |channels: usize| ((channels as f64 * width).round() as usize).max(1);
        let (blocks, fully_connected, dropout_before_first) = match architecture {
            Architecture::Alexnet => (alexnet_blocks([96, 256, 384, 384, 256].map(scale)), 4096, true),
            Architecture::AlexnetSmall => {
                (alexnet_small_blocks([48, 128, 192, 192, 128].map(scale)), 1024, true)
            }
            Architecture::Vgg16 => (vgg16_blocks(scale), 4096, false),
        };
        let config = Self {
            architecture,
            image_size,
            sobel,
            blocks,
            fully_connected: scale(fully_connected),
            dropout_before_first,
            dropout: 0.5,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ModelError`] naming the first field that is out of range.
    pub fn validate(&self) -> Result<(), ModelError> {
        let invalid = |field, value: String, allowed: &str| {
            Err(ModelError::InvalidConfig { field, value, allowed: allowed.to_string() })
        };
        if !(0.0..1.0).contains(&self.dropout) {
            return invalid("network.dropout", self.dropout.to_string(), "at least 0 and less than 1");
        }
        if self.fully_connected == 0 {
            return invalid("model.fully_connected", "0".to_string(), "at least 1");
        }
        let sound = |block: &ConvBlockConfig| {
            let pooling_sound = block.pooling.is_none_or(|pooling| pooling.size > 0 && pooling.stride > 0);
            block.channels > 0 && block.kernel > 0 && block.stride > 0 && pooling_sound
        };
        if self.blocks.is_empty() || !self.blocks.iter().all(sound) {
            let value = format!("{:?}", self.blocks);
            return invalid("model.blocks", value, "one block or more, all sizes and strides at least 1");
        }
        if self.output_side(self.image_size).is_none() {
            let minimum = (1..4096).find(|&size| self.output_side(size).is_some()).unwrap_or(4096);
            let architecture = self.architecture.to_string();
            return Err(ModelError::ImageTooSmall { architecture, image_size: self.image_size, minimum });
        }
        if self.num_weights() > MAX_WEIGHTS {
            let value = format!("{} with images of {} px", self.fully_connected, self.image_size);
            let allowed = format!(
                "the network would have {} weights, and at most {MAX_WEIGHTS} are allowed: lower network.width or \
                 images.size",
                self.num_weights()
            );
            return invalid("model.fully_connected", value, &allowed);
        }
        Ok(())
    }

    /// Number of weights and biases without those of batch norm; where no image of `image_size` fits, of the
    /// convolutions.
    pub fn num_weights(&self) -> u64 {
        let size = |number: usize| number as u64;
        let (mut planes, mut weights) = (size(self.input_planes()), 0_u64);
        for block in &self.blocks {
            let inputs = planes.saturating_mul(size(block.kernel).saturating_mul(size(block.kernel)));
            weights = weights.saturating_add((inputs.saturating_add(1)).saturating_mul(size(block.channels)));
            planes = size(block.channels);
        }
        let side = size(self.output_side(self.image_size).unwrap_or(0));
        let width = size(self.fully_connected);
        let inputs = planes.saturating_mul(side).saturating_mul(side);
        let fully_connected = inputs.saturating_add(width).saturating_add(2).saturating_mul(width);
        weights.saturating_add(fully_connected)
    }

    /// Side of the last pooled map in pixels for square inputs of `image_size`, or `None` where nothing is
    /// left.
    pub fn output_side(&self, image_size: usize) -> Option<usize> {
        let step = |side: usize, size: usize, stride: usize| Some(side.checked_sub(size)? / stride + 1);
        self.blocks.iter().try_fold(image_size, |side, block| {
            let side = step(side + 2 * block.padding, block.kernel, block.stride)?;
            block.pooling.map_or(Some(side), |pooling| step(side, pooling.size, pooling.stride))
        })
    }

    /// The description of the network without building it.
    pub fn info(&self) -> NetworkInfo {
        let norms: usize = self.blocks.iter().map(|block| 4 * block.channels).sum();
        NetworkInfo {
            name: self.architecture.to_string(),
            side: self.image_size,
            feature_dim: self.fully_connected,
            num_parameters: self.num_weights() as usize + norms,
            layers: layers(self.blocks.iter().map(|block| block.channels), self.fully_connected),
        }
    }

    /// Number of planes the first convolution sees.
    pub fn input_planes(&self) -> usize {
        if self.sobel { 2 } else { 3 }
    }
}

fn block(channels: usize, kernel: usize, stride: usize, padding: usize, pooled: bool) -> ConvBlockConfig {
    ConvBlockConfig { channels, kernel, stride, padding, pooling: pooled.then_some(POOL_3_2) }
}

fn alexnet_blocks(channels: [usize; 5]) -> Vec<ConvBlockConfig> {
    vec![
        block(channels[0], 11, 4, 2, true),
        block(channels[1], 5, 1, 2, true),
        block(channels[2], 3, 1, 1, false),
        block(channels[3], 3, 1, 1, false),
        block(channels[4], 3, 1, 1, true),
    ]
}

fn alexnet_small_blocks(channels: [usize; 5]) -> Vec<ConvBlockConfig> {
    let mut blocks = alexnet_blocks(channels);
    blocks[0] = block(channels[0], 5, 1, 2, true);
    blocks
}

fn vgg16_blocks(scale: impl Fn(usize) -> usize) -> Vec<ConvBlockConfig> {
    let stages = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
    let mut blocks = Vec::new();
    for (channels, num_convolutions) in stages {
        for index in 1..=num_convolutions {
            let pooling = (index == num_convolutions).then_some(POOL_2_2);
            blocks.push(ConvBlockConfig {
                channels: scale(channels),
                kernel: 3,
                stride: 1,
                padding: 1,
                pooling,
            });
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_maps_have_the_sizes_of_the_paper() {
        // AlexNet: 224 -> 55 -> 27 -> 27 -> 13 -> 13 -> 6; 6 * 6 * 256 = 9,216 inputs of the first linear
        // layer.
        let alexnet = ConvNetConfig::new(Architecture::Alexnet, 224, true, 1.0).unwrap();
        assert_eq!(alexnet.output_side(224), Some(6));
        let vgg16 = ConvNetConfig::new(Architecture::Vgg16, 224, true, 1.0).unwrap();
        assert_eq!(vgg16.output_side(224), Some(7));
        assert_eq!(vgg16.blocks.len(), 13);
        // Small: 32 -> 15 -> 7 -> 3.
        let small = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 1.0).unwrap();
        assert_eq!(small.output_side(32), Some(3));
    }

    #[test]
    fn too_small_images_are_refused_with_the_smallest_size() {
        let error = ConvNetConfig::new(Architecture::Alexnet, 32, true, 1.0).unwrap_err();
        let ModelError::ImageTooSmall { minimum, .. } = error else { panic!("{error}") };
        assert!(ConvNetConfig::new(Architecture::Alexnet, minimum, true, 1.0).is_ok());
        assert!(ConvNetConfig::new(Architecture::Alexnet, minimum - 1, true, 1.0).is_err());
        assert_eq!(minimum, 63);
        assert!(ConvNetConfig::new(Architecture::Vgg16, 32, true, 1.0).is_ok());
    }

    #[test]
    fn weights_are_counted_and_bounded() {
        // torchvision's VGG-16 has 138,357,544 weights with its head of 1,000 classes, 4,097,000 of them, and
        // 3 planes.
        let vgg16 = ConvNetConfig::new(Architecture::Vgg16, 224, false, 1.0).unwrap();
        assert_eq!(vgg16.num_weights(), 138_357_544 - 4_097_000);
        for (architecture, image_size, width) in [
            (Architecture::Alexnet, 1024, 8.0),
            (Architecture::AlexnetSmall, 1024, 8.0),
            (Architecture::Vgg16, 1024, 1.0),
        ] {
            let error = ConvNetConfig::new(architecture, image_size, true, width).unwrap_err();
            assert!(error.to_string().contains("weights, and at most 1073741824"), "{error}");
        }
        assert!(ConvNetConfig::new(Architecture::Alexnet, 224, true, 4.0).is_ok());
    }

    #[test]
    fn widths_out_of_range_are_refused() {
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY, 9.0] {
            let error = ConvNetConfig::new(Architecture::Alexnet, 224, true, width).unwrap_err();
            assert!(error.to_string().contains("network.width"), "{error}");
        }
    }
}
