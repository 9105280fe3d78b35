//! The names of weights here and in the original PyTorch code.

use crate::ConvNetConfig;

/// A weight under its two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PytorchParameter {
    /// Its name in [`NamedWeights`](crate::NamedWeights), such as `blocks.0.convolution.weight`.
    pub name: String,
    /// Its key in the original's `state_dict`, such as `features.0.weight`.
    pub pytorch_name: String,
    /// Whether it is the matrix of a linear layer: `[inputs, outputs]` here, `[outputs, inputs]` in PyTorch.
    pub is_transposed: bool,
    /// Whether it is trained; the running statistics of batch norm are not.
    pub is_trained: bool,
}

/// Every weight of the network in the order of the original's `state_dict`, without its fixed Sobel filters
/// and its counters of batches. The trained ones among them are in the order of the original's optimiser.
pub fn pytorch_parameters(config: &ConvNetConfig) -> Vec<PytorchParameter> {
    let mut parameters = Vec::new();
    let mut layer = 0;
    for (index, block) in config.blocks.iter().enumerate() {
        for (part, is_trained) in [("weight", true), ("bias", true)] {
            parameters.push(PytorchParameter {
                name: format!("blocks.{index}.convolution.{part}"),
                pytorch_name: format!("features.{layer}.{part}"),
                is_transposed: false,
                is_trained,
            });
        }
        let norm = [
            ("gamma", "weight", true),
            ("beta", "bias", true),
            ("running_mean", "running_mean", false),
            ("running_var", "running_var", false),
        ];
        for (name, pytorch_name, is_trained) in norm {
            parameters.push(PytorchParameter {
                name: format!("blocks.{index}.norm.{name}"),
                pytorch_name: format!("features.{}.{pytorch_name}", layer + 1),
                is_transposed: false,
                is_trained,
            });
        }
        // Convolution, batch norm, ReLU, and the pooling where there is one.
        layer += if block.pooling.is_some() { 4 } else { 3 };
    }
    // Linear, ReLU, dropout, linear; with a dropout before them in AlexNet.
    let first = usize::from(config.dropout_before_first);
    parameters.extend(linear("fc6", &format!("classifier.{first}")));
    parameters.extend(linear("fc7", &format!("classifier.{}", first + 3)));
    parameters
}

/// Weight and bias of the head.
pub fn pytorch_head() -> [PytorchParameter; 2] {
    linear("linear", "top_layer")
}

fn linear(name: &str, pytorch_name: &str) -> [PytorchParameter; 2] {
    ["weight", "bias"].map(|part| PytorchParameter {
        name: format!("{name}.{part}"),
        pytorch_name: format!("{pytorch_name}.{part}"),
        is_transposed: part == "weight",
        is_trained: true,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Architecture, Head, export_weights};
    use burn::tensor::Device;

    #[test]
    fn every_weight_of_every_network_has_a_name() {
        for architecture in Architecture::ALL {
            let config = ConvNetConfig::new(architecture, 64, true, 0.05).unwrap();
            let network = config.init(1, &Device::flex()).unwrap();
            let found: BTreeSet<String> = export_weights(&network).unwrap().into_keys().collect();
            let named: BTreeSet<String> =
                pytorch_parameters(&config).into_iter().map(|parameter| parameter.name).collect();
            assert_eq!(named, found, "{architecture}");
        }
        let found: BTreeSet<String> =
            export_weights(&Head::new(2, 3, 1, &Device::flex())).unwrap().into_keys().collect();
        assert_eq!(
            pytorch_head().map(|parameter| parameter.name).into_iter().collect::<BTreeSet<_>>(),
            found
        );
    }

    #[test]
    fn layers_have_the_numbers_of_the_original() {
        let names = |architecture| {
            let config = ConvNetConfig::new(architecture, 224, true, 0.01).unwrap();
            pytorch_parameters(&config)
                .into_iter()
                .filter(|parameter| parameter.name.ends_with("weight"))
                .map(|parameter| parameter.pytorch_name)
                .collect::<Vec<_>>()
        };
        let expected = |features: &[usize], classifier: &[usize]| {
            let features = features.iter().map(|layer| format!("features.{layer}.weight"));
            let classifier = classifier.iter().map(|layer| format!("classifier.{layer}.weight"));
            features.chain(classifier).collect::<Vec<_>>()
        };
        assert_eq!(names(Architecture::Alexnet), expected(&[0, 4, 8, 11, 14], &[1, 4]));
        let vgg16 = [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40];
        assert_eq!(names(Architecture::Vgg16), expected(&vgg16, &[0, 3]));
    }
}
