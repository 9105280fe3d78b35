//! The rule by which weights and images are filled, and the figures that go with it.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_models::weights::{PytorchParameter, pytorch_head, pytorch_parameters, transpose};
use deepcluster_models::{
    Architecture, Backbone, ConvNet, ConvNetConfig, Head, NamedWeights, export_weights, import_weights,
};
use serde_json::Value;

/// Outputs of the head.
const NUM_CLUSTERS: usize = 10;

/// The figures, or `None` and a message where they are absent.
pub(crate) fn figures() -> Option<Value> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/reference/models.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            eprintln!("skipped: {} is absent", path.display());
            None
        }
    }
}

/// The network of the paper with Sobel input.
pub(crate) fn config(architecture: Architecture) -> ConvNetConfig {
    ConvNetConfig::new(architecture, 224, true, 1.0).unwrap()
}

/// The network with the weights of the rule.
pub(crate) fn network(architecture: Architecture, device: &Device) -> ConvNet {
    let config = config(architecture);
    let network = config.init(0, device).unwrap();
    let mut weights = export_weights(&network).unwrap();
    let trained = pytorch_parameters(&config).into_iter().filter(|parameter| parameter.is_trained);
    for (index, parameter) in trained.enumerate() {
        fill(&mut weights, &parameter, index + 1);
    }
    import_weights(network, weights).unwrap()
}

/// The head with the weights of the rule, which counts its parameters after those of the network.
pub(crate) fn head(architecture: Architecture, network: &ConvNet, device: &Device) -> Head {
    let of_network = pytorch_parameters(&config(architecture));
    let num_before = of_network.iter().filter(|parameter| parameter.is_trained).count();
    let head = Head::new(network.feature_dim(), NUM_CLUSTERS, 0, device);
    let mut weights = export_weights(&head).unwrap();
    for (index, parameter) in pytorch_head().iter().enumerate() {
        fill(&mut weights, parameter, num_before + index + 1);
    }
    import_weights(head, weights).unwrap()
}

pub(crate) fn images(num_images: usize, device: &Device) -> Tensor<4> {
    let sequence = sequence();
    let value = |i: usize| (2.0 * sequence[(31 * i + i / 997) % 1009]) as f32;
    let values: Vec<f32> = (0..num_images * 3 * 224 * 224).map(value).collect();
    Tensor::from_data(TensorData::new(values, [num_images, 3, 224, 224]), device)
}

/// The 1,009 numbers of the rule.
fn sequence() -> Vec<f64> {
    let mut state = 12_345_u64;
    let next = || {
        state = (1_664_525 * state + 1_013_904_223) % (1 << 32);
        (state as f64 / 2_f64.powi(32) - 0.5) * 2.0
    };
    std::iter::repeat_with(next).take(1009).collect()
}

/// Fills the parameter that is `number` in PyTorch's order, from 1. What has one dimension stays as it is:
/// biases 0, weights of batch norm 1.
fn fill(weights: &mut NamedWeights, parameter: &PytorchParameter, number: usize) {
    let data = weights.get_mut(&parameter.name).unwrap();
    let mut shape: Vec<usize> = data.shape().to_vec();
    if shape.len() == 1 {
        return;
    }
    if parameter.is_transposed {
        shape.reverse();
    }
    let sequence = sequence();
    let fan_in: usize = shape[1..].iter().product();
    let gain = if parameter.is_transposed { 0.25 } else { 2_f64.sqrt() };
    let scale = (3.0 / fan_in as f64).sqrt() * gain;
    let value = |i: usize| (scale * sequence[(i + 17 * number) % 1009]) as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    let filled = TensorData::new(values, shape);
    *data = if parameter.is_transposed { transpose(&filled) } else { filled };
}
