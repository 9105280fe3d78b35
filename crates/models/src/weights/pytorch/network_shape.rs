//! Which network the shapes of a checkpoint belong to.

use std::collections::BTreeMap;

use crate::{Architecture, ConvNetConfig};

use crate::convnet::keys::{PytorchParameter, pytorch_parameters};
use crate::convnet::shapes::weight_shapes;

/// Side of the images of the paper, taken wherever it fits.
const PAPER_IMAGE_SIZE: usize = 224;

/// Sides of images that are tried.
const IMAGE_SIZES: std::ops::RangeInclusive<usize> = 32..=1024;

/// Properties of a network that follow from the shapes of its weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NetworkShape {
    pub(super) architecture: Architecture,
    pub(super) sobel: bool,
    pub(super) width: f64,
    pub(super) image_size: usize,
}

impl NetworkShape {
    /// Finds the network whose weights have the `shapes`, by PyTorch's names. `architecture` is what the file
    /// says.
    pub(super) fn find(
        shapes: &BTreeMap<String, Vec<usize>>,
        architecture: Option<&str>,
    ) -> Result<Self, String> {
        let sobel = shapes.contains_key("sobel.0.weight");
        let candidates: &[Architecture] = match architecture {
            Some("alexnet") => &[Architecture::Alexnet, Architecture::AlexnetSmall],
            Some("vgg16") => &[Architecture::Vgg16],
            Some("alexnet-small") => &[Architecture::AlexnetSmall],
            Some(other) => return Err(format!("its network is {other:?}; known are alexnet and vgg16")),
            None => &Architecture::ALL,
        };
        let mut problem = String::new();
        let mut best = 0;
        for &architecture in candidates {
            match Self::find_width(shapes, architecture, sobel) {
                Ok(found) => return Ok(found),
                // Of the reasons, that of the network that fits best.
                Err((num_fitting, reason)) if problem.is_empty() || num_fitting > best => {
                    (best, problem) = (num_fitting, reason);
                }
                Err(_) => {}
            }
        }
        Err(problem)
    }

    /// The factor on all widths that gives every shape, or how many shapes fit and which does not.
    fn find_width(
        shapes: &BTreeMap<String, Vec<usize>>,
        architecture: Architecture,
        sobel: bool,
    ) -> Result<Self, (usize, String)> {
        let full = ConvNetConfig::new(architecture, PAPER_IMAGE_SIZE, sobel, 1.0)
            .map_err(|error| (0, error.to_string()))?;
        let mut widths = vec![1.0];
        for parameter in pytorch_parameters(&full) {
            // A bias has one entry per channel.
            let channels = shapes.get(&parameter.pytorch_name).and_then(|shape| shape.first());
            let full_channels = full_size(&full, &parameter.name);
            if let (Some(&channels), Some(full_channels)) = (channels, full_channels) {
                widths.push(channels as f64 / full_channels as f64);
            }
        }
        widths.sort_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()));
        widths.dedup();
        let mut closest = (0, format!("it has no weight features.0.weight of {architecture}"));
        for width in widths.into_iter().filter(|&width| width > 0.0 && width <= 8.0) {
            let Some(image_size) = find_image_size(shapes, architecture, sobel, width) else { continue };
            let Ok(config) = ConvNetConfig::new(architecture, image_size, sobel, width) else { continue };
            match check_shapes(shapes, &config) {
                Ok(()) => return Ok(Self { architecture, sobel, width, image_size }),
                Err(mismatch) if mismatch.0 >= closest.0 => closest = mismatch,
                Err(_) => {}
            }
        }
        Err(closest)
    }

    /// The network for images of another size, where its first fully connected layer allows it.
    pub(super) fn config(&self, image_size: usize) -> Result<ConvNetConfig, String> {
        let config = |size| {
            ConvNetConfig::new(self.architecture, size, self.sobel, self.width)
                .map_err(|error| error.to_string())
        };
        let (own, asked) = (config(self.image_size)?, config(image_size)?);
        let (own_side, side) = (own.output_side(self.image_size), asked.output_side(image_size));
        if own_side == side {
            return Ok(asked);
        }
        Err(format!(
            "its network takes images of {} pixels, not of {image_size}: another size needs another first fully \
             connected layer",
            self.image_size
        ))
    }
}

/// Channels or units of the layer of a bias at width 1.
fn full_size(full: &ConvNetConfig, name: &str) -> Option<usize> {
    if let Some(block) = name.strip_prefix("blocks.").and_then(|rest| rest.strip_suffix(".convolution.bias"))
    {
        return full.blocks.get(block.parse::<usize>().ok()?).map(|block| block.channels);
    }
    matches!(name, "fc6.bias" | "fc7.bias").then_some(full.fully_connected)
}

/// The paper's size where the first fully connected layer fits it, otherwise the smallest that fits; where
/// none does, the paper's, so that the shapes can be compared.
fn find_image_size(
    shapes: &BTreeMap<String, Vec<usize>>,
    architecture: Architecture,
    sobel: bool,
    width: f64,
) -> Option<usize> {
    let config = ConvNetConfig::new(architecture, PAPER_IMAGE_SIZE, sobel, width).ok()?;
    let first = pytorch_parameters(&config).into_iter().find(|parameter| parameter.name == "fc6.weight")?;
    let inputs = shapes.get(&first.pytorch_name).and_then(|shape| shape.get(1).copied())?;
    let channels = config.blocks.last()?.channels;
    let fits = |size: &usize| {
        config.output_side(*size).is_some_and(|side| channels.checked_mul(side * side) == Some(inputs))
    };
    let sizes = std::iter::once(PAPER_IMAGE_SIZE).chain(IMAGE_SIZES);
    Some(sizes.into_iter().find(fits).unwrap_or(PAPER_IMAGE_SIZE))
}

fn check_shapes(
    shapes: &BTreeMap<String, Vec<usize>>,
    config: &ConvNetConfig,
) -> Result<(), (usize, String)> {
    let mut num_fitting = 0;
    for (name, expected) in expected_shapes(config) {
        match shapes.get(&name) {
            None => {
                let reason = format!("it has no weight {name} of {}", config.architecture);
                return Err((num_fitting, reason));
            }
            Some(found) if *found != expected => {
                let reason = format!(
                    "its weight {name} has the shape {found:?}, and {} needs {expected:?}",
                    config.architecture
                );
                return Err((num_fitting, reason));
            }
            Some(_) => num_fitting += 1,
        }
    }
    Ok(())
}

/// Shapes in PyTorch's layout, by PyTorch's names.
fn expected_shapes(config: &ConvNetConfig) -> Vec<(String, Vec<usize>)> {
    let mut shapes = weight_shapes(config).unwrap_or_default();
    let expected = |parameter: PytorchParameter| {
        let mut shape = shapes.remove(&parameter.name).unwrap_or_default();
        if parameter.is_transposed {
            shape.reverse();
        }
        (parameter.pytorch_name, shape)
    };
    pytorch_parameters(config).into_iter().map(expected).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(config: &ConvNetConfig) -> BTreeMap<String, Vec<usize>> {
        let mut shapes: BTreeMap<_, _> = expected_shapes(config).into_iter().collect();
        if config.sobel {
            shapes.insert("sobel.0.weight".to_string(), vec![1, 3, 1, 1]);
        }
        shapes
    }

    #[test]
    fn every_network_is_found_by_its_shapes() {
        for architecture in Architecture::ALL {
            for (sobel, width, image_size) in
                [(true, 1.0, 224), (false, 0.5, 224), (true, 0.05, 96), (true, 1.0 / 64.0, 64)]
            {
                let config = ConvNetConfig::new(architecture, image_size, sobel, width).unwrap();
                let found = NetworkShape::find(&shapes(&config), None).unwrap();
                assert_eq!((found.architecture, found.sobel), (architecture, sobel));
                let rebuilt = found.config(image_size).unwrap();
                assert_eq!(rebuilt.blocks, config.blocks, "{architecture} {width}");
                assert_eq!(rebuilt.fully_connected, config.fully_connected);
                if image_size == 224 {
                    assert_eq!(found.image_size, 224);
                }
                if width == 1.0 {
                    assert_eq!(found.width, 1.0);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let config = ConvNetConfig::new(Architecture::Alexnet, 224, true, 1.0).unwrap();
        let mut missing = shapes(&config);
        missing.remove("classifier.4.weight");
        let error = NetworkShape::find(&missing, Some("alexnet")).unwrap_err();
        assert!(error.contains("classifier.4.weight"), "{error}");
        let mut misshapen = shapes(&config);
        misshapen.insert("features.4.weight".to_string(), vec![256, 96, 3, 3]);
        let error = NetworkShape::find(&misshapen, None).unwrap_err();
        assert!(error.contains("features.4.weight") && error.contains("[256, 96, 3, 3]"), "{error}");
        let error = NetworkShape::find(&shapes(&config), Some("resnet50")).unwrap_err();
        assert!(error.contains("resnet50"), "{error}");
        let error = NetworkShape::find(&BTreeMap::new(), None).unwrap_err();
        assert!(error.contains("features.0.weight"), "{error}");
    }

    #[test]
    fn another_image_size_must_fit_the_first_fully_connected_layer() {
        let config = ConvNetConfig::new(Architecture::Alexnet, 224, true, 1.0).unwrap();
        let found = NetworkShape::find(&shapes(&config), None).unwrap();
        assert_eq!(found.config(227).unwrap().image_size, 227);
        assert!(found.config(128).unwrap_err().contains("224"));
    }
}
