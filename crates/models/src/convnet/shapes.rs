//! The shapes that the weights of a network have.

use std::collections::BTreeMap;

use crate::ConvNetConfig;

/// The shape of every weight in [`NamedWeights`](crate::NamedWeights), or `None` where the maps shrink to
/// nothing, which [`ConvNetConfig::validate`] excludes.
pub(crate) fn weight_shapes(config: &ConvNetConfig) -> Option<BTreeMap<String, Vec<usize>>> {
    let mut shapes = BTreeMap::new();
    let mut planes = config.input_planes();
    for (index, block) in config.blocks.iter().enumerate() {
        let convolution = vec![block.channels, planes, block.kernel, block.kernel];
        shapes.insert(format!("blocks.{index}.convolution.weight"), convolution);
        for vector in ["convolution.bias", "norm.gamma", "norm.beta", "norm.running_mean", "norm.running_var"]
        {
            shapes.insert(format!("blocks.{index}.{vector}"), vec![block.channels]);
        }
        planes = block.channels;
    }
    let side = config.output_side(config.image_size)?;
    let width = config.fully_connected;
    for (layer, num_inputs) in [("fc6", planes * side * side), ("fc7", width)] {
        shapes.insert(format!("{layer}.weight"), vec![num_inputs, width]);
        shapes.insert(format!("{layer}.bias"), vec![width]);
    }
    Some(shapes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, export_weights};
    use burn::tensor::Device;

    #[test]
    fn shapes_are_those_of_a_new_network() {
        for architecture in Architecture::ALL {
            for sobel in [false, true] {
                let config = ConvNetConfig::new(architecture, 64, sobel, 0.05).unwrap();
                let weights = export_weights(&config.init(1, &Device::flex()).unwrap()).unwrap();
                let found: BTreeMap<String, Vec<usize>> =
                    weights.into_iter().map(|(name, data)| (name, data.shape().to_vec())).collect();
                assert_eq!(weight_shapes(&config).unwrap(), found, "{architecture}");
            }
        }
    }
}
