//! Activations of AlexNet and VGG-16, and gradients of AlexNet, against figures computed with the original code in f64.
//!
//! The figures and the rule by which weights and images are filled lie in `shared/fixtures/reference/models.json`
//! beside the project; without that file the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::PathBuf;

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use deepcluster_models::{
    Architecture, Backbone, ConvNet, ConvNetConfig, DropoutMasks, export_weights, import_weights, sobel,
};
use serde_json::Value;

/// Relative error allowed on L2 norms, and on the first and last values together.
const TOLERANCE: f64 = 1e-4;

/// Error allowed on a single value of a gradient, relative to it or to the root mean square, whichever is larger.
const GRADIENT_TOLERANCE: f64 = 1e-3;

fn figures() -> Option<Value> {
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

/// The 1,009 numbers of the rule.
fn sequence() -> Vec<f64> {
    let mut state = 12_345_u64;
    let next = || {
        state = (1_664_525 * state + 1_013_904_223) % (1 << 32);
        (state as f64 / 2_f64.powi(32) - 0.5) * 2.0
    };
    std::iter::repeat_with(next).take(1009).collect()
}

fn images(num_images: usize, device: &Device) -> Tensor<4> {
    let sequence = sequence();
    let value = |i: usize| (2.0 * sequence[(31 * i + i / 997) % 1009]) as f32;
    let values: Vec<f32> = (0..num_images * 3 * 224 * 224).map(value).collect();
    Tensor::from_data(TensorData::new(values, [num_images, 3, 224, 224]), device)
}

/// Weights of the rule for parameter `number` (from 1, in PyTorch's order) of a linear layer, as Burn keeps them:
/// PyTorch has `[outputs, inputs]`, Burn `[inputs, outputs]`.
fn linear_weights(inputs: usize, outputs: usize, number: usize) -> Vec<f32> {
    let sequence = sequence();
    let scale = (3.0 / inputs as f64).sqrt() * 0.25;
    let value = |i: usize| (scale * sequence[(i + 17 * number) % 1009]) as f32;
    (0..inputs * outputs).map(|i| value((i % outputs) * inputs + i / outputs)).collect()
}

/// The network filled by the rule, and the number of the parameter that comes after its own.
fn network(architecture: Architecture, device: &Device) -> (ConvNet, usize) {
    let network = ConvNetConfig::new(architecture, 224, true, 1.0).unwrap().init(0, device).unwrap();
    let mut weights = export_weights(&network).unwrap();
    let sequence = sequence();
    let num_blocks = network.tap_names().len();
    let mut number = 1; // of the parameter in PyTorch's order
    for block in 0..num_blocks {
        let data = weights.get_mut(&format!("blocks.{block}.convolution.weight")).unwrap();
        let shape: Vec<usize> = data.shape().to_vec();
        let fan_in: usize = shape[1..].iter().product();
        let scale = (6.0 / fan_in as f64).sqrt();
        let value = |i: usize| (scale * sequence[(i + 17 * number) % 1009]) as f32;
        *data = TensorData::new::<f32, _>((0..shape.iter().product()).map(value).collect(), shape);
        // The biases stay 0, the weight and bias of batch norm 1 and 0.
        number += 4;
    }
    for layer in ["fc6.weight", "fc7.weight"] {
        let data = weights.get_mut(layer).unwrap();
        let shape: Vec<usize> = data.shape().to_vec();
        *data = TensorData::new::<f32, _>(linear_weights(shape[0], shape[1], number), shape);
        number += 2;
    }
    (import_weights(network, weights).unwrap(), number)
}

fn assert_agrees<const D: usize>(name: &str, output: Tensor<D>, expected: &Value) {
    let shape: Vec<usize> =
        expected["shape"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
    assert_eq!(output.dims().to_vec(), shape, "{name}");
    let values = output.into_data().try_to_vec::<f32>().unwrap();
    let l2 = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let expected_l2 = expected["l2"].as_f64().unwrap();
    assert!((l2 / expected_l2 - 1.0).abs() < TOLERANCE, "{name}: L2 norm {l2}, not {expected_l2}");
    let list = |key: &str| -> Vec<f64> {
        expected[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let (first, last) = (list("first"), list("last"));
    let shown = values[..first.len()].iter().chain(&values[values.len() - last.len()..]);
    let wanted: Vec<f64> = first.iter().chain(&last).copied().collect();
    let norm = wanted.iter().map(|value| value * value).sum::<f64>().sqrt();
    let error = shown.zip(&wanted).map(|(&got, want)| (f64::from(got) - want).powi(2)).sum::<f64>().sqrt();
    assert!(
        error <= TOLERANCE * norm,
        "{name}: relative error {} of the first and last values",
        error / norm
    );
}

fn assert_architecture_agrees(architecture: Architecture, key: &str, num_images: usize) {
    let Some(figures) = figures() else { return };
    let expected = &figures[key];
    let device = Device::flex();
    let (network, _) = network(architecture, &device);
    let images = images(num_images, &device);
    assert_agrees("sobel", sobel(images.clone()), &expected["sobel"]);
    for (name, tap) in network.tap_names().iter().zip(network.forward_taps(images.clone())) {
        assert_agrees(name, tap, &expected[format!("eval_{name}")]);
    }
    let features = network.forward_features(images, &DropoutMasks::off());
    assert_agrees("fc7", features, &expected["eval_fc7_before_relu"]);
}

/// Collects the gradients of a module by the names of its parameters.
struct Gradients<'a> {
    of: &'a GradientsParams,
    path: Vec<String>,
    found: Vec<(String, Vec<f32>, Vec<usize>)>,
}

impl ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.of.get::<D>(param.id) {
            let shape = gradient.dims().to_vec();
            self.found.push((self.path.join("."), gradient.into_data().try_to_vec::<f32>().unwrap(), shape));
        }
    }
}

/// One training step without dropout: the loss and the gradient of every parameter of the body.
#[test]
fn alexnet_gradients_agree_with_the_original() {
    let Some(figures) = figures() else { return };
    let expected = &figures["alexnet"];
    let num_images = 4;
    let device = Device::flex().autodiff();
    let (network, number) = network(Architecture::Alexnet, &device);
    let (inputs, num_classes) = (network.feature_dim(), 10);
    let head = TensorData::new(linear_weights(inputs, num_classes, number), [inputs, num_classes]);
    let head = Tensor::<2>::from_data(head, &device);
    let labels: Vec<i64> = (0..num_images as i64).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [num_images]), &device);
    let features = network.forward_features(images(num_images, &device), &DropoutMasks::off());
    let loss = CrossEntropyLossConfig::new().init(&device).forward(relu(features).matmul(head), labels);
    let value = f64::from(loss.clone().try_into_scalar::<f32>().unwrap());
    let wanted = expected["losses"][0].as_f64().unwrap();
    assert!((value / wanted - 1.0).abs() < TOLERANCE, "loss {value}, not {wanted}");

    let of = GradientsParams::from_grads(loss.backward(), &network);
    let mut gradients = Gradients { of: &of, path: Vec::new(), found: Vec::new() };
    network.visit(&mut gradients);
    let expected = &expected["grads_step0"];
    // PyTorch's order, without the head: convolution and batch norm of each block, then the linear layers.
    let num_blocks = network.tap_names().len();
    assert_eq!(gradients.found.len(), 4 * num_blocks + 4);
    for ((name, values, shape), wanted) in gradients.found.iter().zip(pytorch_order(expected)) {
        // What batch norm takes away again: rounding is all there is in the gradient of a convolution's bias.
        if name.ends_with("convolution.bias") {
            assert!(values.iter().all(|value| value.abs() < 1e-4), "{name} has a gradient");
            continue;
        }
        let l2 = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let wanted_l2 = wanted["l2"].as_f64().unwrap();
        assert!((l2 / wanted_l2 - 1.0).abs() < TOLERANCE, "{name}: L2 norm {l2}, not {wanted_l2}");
        // PyTorch's first values of a linear layer lie in Burn's first column.
        let stride = if name.starts_with("fc") && shape.len() == 2 { shape[1] } else { 1 };
        let root_mean_square = wanted_l2 / (values.len() as f64).sqrt();
        for (position, value) in wanted["first"].as_array().unwrap().iter().enumerate() {
            let (got, want) = (f64::from(values[position * stride]), value.as_f64().unwrap());
            let error = (got - want).abs();
            assert!(
                error <= GRADIENT_TOLERANCE * want.abs().max(root_mean_square),
                "{name}: {got}, not {want}"
            );
        }
    }
}

/// The figures of the body's parameters, in PyTorch's order: `features.3.weight` before `features.10.bias`.
fn pytorch_order(figures: &Value) -> Vec<&Value> {
    let order = |name: &str| {
        let mut parts = name.split('.');
        let is_classifier = parts.next() == Some("classifier");
        let layer: usize = parts.next().unwrap().parse().unwrap();
        (is_classifier, layer, parts.next() == Some("bias"))
    };
    let mut names: Vec<&String> = figures.as_object().unwrap().keys().collect();
    names.retain(|name| !name.starts_with("top_layer"));
    names.sort_by_key(|name| order(name));
    names.into_iter().map(|name| &figures[name]).collect()
}

#[test]
fn alexnet_activations_agree_with_the_original() {
    assert_architecture_agrees(Architecture::Alexnet, "alexnet", 4);
}

#[test]
fn vgg16_activations_agree_with_the_original() {
    assert_architecture_agrees(Architecture::Vgg16, "vgg16", 2);
}
