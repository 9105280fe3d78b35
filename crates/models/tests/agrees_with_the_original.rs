//! Activations of AlexNet and VGG-16 against figures computed with the original code in f64.
//!
//! The figures and the rule by which weights and images are filled lie in `shared/fixtures/reference/models.json`
//! beside the project; without that file the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_models::{
    Architecture, Backbone, ConvNet, ConvNetConfig, DropoutMasks, export_weights, import_weights, sobel,
};
use serde_json::Value;

/// Relative error allowed on the L2 norm and on single values relative to the largest shown.
const TOLERANCE: f64 = 1e-4;

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

fn network(architecture: Architecture, device: &Device) -> ConvNet {
    let network = ConvNetConfig::new(architecture, 224, true, 1.0).unwrap().init(0, device).unwrap();
    let mut weights = export_weights(&network).unwrap();
    let sequence = sequence();
    let num_blocks = network.tap_names().len();
    let mut number = 0; // of the parameter in PyTorch's order, from 1
    let mut fill = |data: &mut TensorData, linear: bool| {
        number += 1;
        let shape: Vec<usize> = data.shape().to_vec();
        let fan_in: usize = if linear { shape[0] } else { shape[1..].iter().product() };
        let gain = if linear { 0.25 } else { 2_f64.sqrt() };
        let scale = (3.0 / fan_in as f64).sqrt() * gain;
        let value = |i: usize| (scale * sequence[(i + 17 * number) % 1009]) as f32;
        let num_values: usize = shape.iter().product();
        let values = if linear {
            // PyTorch keeps [out, in], Burn [in, out].
            let (inputs, outputs) = (shape[0], shape[1]);
            (0..num_values).map(|i| value((i % outputs) * inputs + i / outputs)).collect()
        } else {
            (0..num_values).map(value).collect()
        };
        *data = TensorData::new::<f32, _>(values, shape);
        number += 1; // the bias, which stays 0
        if !linear {
            number += 2; // batch-norm weight and bias, which stay 1 and 0
        }
    };
    for block in 0..num_blocks {
        fill(weights.get_mut(&format!("blocks.{block}.convolution.weight")).unwrap(), false);
    }
    for layer in ["fc6.weight", "fc7.weight"] {
        fill(weights.get_mut(layer).unwrap(), true);
    }
    import_weights(network, weights).unwrap()
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
    let network = network(architecture, &device);
    let images = images(num_images, &device);
    assert_agrees("sobel", sobel(images.clone()), &expected["sobel"]);
    for (name, tap) in network.tap_names().iter().zip(network.forward_taps(images.clone())) {
        assert_agrees(name, tap, &expected[format!("eval_{name}")]);
    }
    let features = network.forward_features(images, &DropoutMasks::off());
    assert_agrees("fc7", features, &expected["eval_fc7_before_relu"]);
}

#[test]
fn alexnet_activations_agree_with_the_original() {
    assert_architecture_agrees(Architecture::Alexnet, "alexnet", 4);
}

#[test]
fn vgg16_activations_agree_with_the_original() {
    assert_architecture_agrees(Architecture::Vgg16, "vgg16", 2);
}
