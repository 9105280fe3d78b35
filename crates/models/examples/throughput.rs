//! Images per second of training and inference, without any data loading.
//!
//! `cargo run --release -p deepcluster-models --features flex --example throughput -- alexnet 224 32 3`
use std::time::Instant;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{GradientsParams, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig};
use burn::prelude::*;
use deepcluster_models::{Architecture, Backbone, ConvNetConfig, DropoutMasks, Head};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or(default.to_string());
    let architecture =
        Architecture::ALL.into_iter().find(|a| a.name() == argument(0, "alexnet-small")).expect("an architecture");
    let size: usize = argument(1, "32").parse().expect("image size");
    let batch: usize = argument(2, "128").parse().expect("batch size");
    let steps: usize = argument(3, "10").parse().expect("steps");
    let device = Device::default().autodiff();
    let mut network = ConvNetConfig::new(architecture, size, true, 1.0).unwrap().init(1, &device).unwrap();
    let head = Head::new(network.feature_dim(), 100, 2, &device);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer =
        SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(WeightDecayConfig::new(1e-5))).init();
    let images = Tensor::<4>::random([batch, 3, size, size], burn::tensor::Distribution::Default, &device);
    let targets = Tensor::<1, Int>::from_data(
        burn::tensor::TensorData::new((0..batch as i64).map(|i| i % 100).collect::<Vec<_>>(), [batch]),
        &device,
    );
    let loss_function = CrossEntropyLossConfig::new().init(&device);
    for step in 0..=steps {
        let start = Instant::now();
        let features = network.forward_features(images.clone(), &DropoutMasks::from_seed(step as u64));
        let logits = head.forward(network.head_input(features));
        let loss = loss_function.forward(logits, targets.clone());
        let value = loss.clone().try_into_scalar::<f32>().unwrap();
        let forward = start.elapsed().as_secs_f64();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let backward = start.elapsed().as_secs_f64();
        network = optimizer.step(0.01, network, gradients);
        let all = start.elapsed().as_secs_f64();
        let rate = batch as f64 / all;
        eprintln!("step {step} loss {value:.3} forward {forward:.3} backward {:.3} sgd {:.3} s: {rate:.1} images/s", backward - forward, all - backward);
    }
    let inference = network.valid();
    for _ in 0..2 {
        let start = Instant::now();
        let features = inference.forward_features(images.clone().without_autodiff(), &DropoutMasks::off());
        let _ = features.into_data();
        eprintln!("inference {:.1} images/s", batch as f64 / start.elapsed().as_secs_f64());
    }
}
