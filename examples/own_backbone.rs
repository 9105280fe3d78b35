//! Trains a network of your own: any Burn module that implements `Backbone`.
//!
//! `cargo run --release --example own_backbone`, half a minute on 2 cores. Expect three lines, one per
//! clustering, and one about the network.
#![allow(clippy::print_stdout, clippy::panic, reason = "an example prints its results and has no errors")]

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};
use deepcluster::data::{SyntheticConfig, write_synthetic_folder};
use deepcluster::models::{Activation, Input, LayerInfo, LayerKind, Pass};
use deepcluster::prelude::*;

/// Two strided convolutions, an average, a linear layer.
#[derive(Module, Debug)]
struct Tiny {
    first: Conv2d,
    second: Conv2d,
    output: Linear,
    #[module(skip)]
    input: Input,
}

impl Tiny {
    /// Burn draws initial weights from the device's generator, which is seeded for that.
    fn new(seed: u64, device: &Device) -> Self {
        device.seed(seed);
        Self {
            first: Conv2dConfig::new([3, 16], [5, 5]).with_stride([2, 2]).init(device),
            second: Conv2dConfig::new([16, 32], [3, 3]).with_stride([2, 2]).init(device),
            output: LinearConfig::new(32 * 9, 64).init(device),
            input: Input::for_side(32),
        }
    }

    /// Both convolutions after their ReLU, `[batch, 16, 14, 14]` and `[batch, 32, 6, 6]`.
    fn maps(&self, images: Tensor<4>) -> [Tensor<4>; 2] {
        let first = relu(self.first.forward(images));
        let second = relu(self.second.forward(first.clone()));
        [first, second]
    }
}

impl Backbone for Tiny {
    fn input(&self) -> &Input {
        &self.input
    }

    fn feature_dim(&self) -> usize {
        64
    }

    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let [.., second] = self.maps(images);
        let pooled = adaptive_avg_pool2d(second, [3, 3]); // [batch, 32, 3, 3]
        self.output.forward(pass.dropout(pooled.flatten(1, 3), 0.1))
    }

    fn layers(&self) -> Vec<LayerInfo> {
        vec![
            LayerInfo::new("first", LayerKind::Convolution, 16),
            LayerInfo::new("second", LayerKind::Convolution, 32),
            LayerInfo::new("output", LayerKind::Vector, 64),
        ]
    }

    fn activations(&self, images: Tensor<4>, layers: &[&str]) -> Vec<Activation> {
        let [first, second] = self.maps(images.clone());
        let activation = |&layer: &&str| match layer {
            "first" => Activation::Map(first.clone()),
            "second" => Activation::Map(second.clone()),
            "output" => Activation::Vector(self.features(images.clone(), &Pass::inference())),
            other => panic!("there is no layer {other}"),
        };
        layers.iter().map(activation).collect()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let drawings = SyntheticConfig { num_images: 600, image_size: 32, seed: 1 };
    write_synthetic_folder(&temporary.path().join("images"), &drawings, &mut |_| {})?;
    let images = Images::open(temporary.path().join("images"))?;

    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.objective.clustering_mut().num_clusters = Some(30);
    config.training.epochs = 2;
    config.training.batch_size = 64;
    // Any setting of the network in `config` is ignored: this is the network.
    let init = |seed, device: &Device| Ok(Tiny::new(seed, device));
    let out = temporary.path().join("run");
    let device = parse_device("auto")?;
    let trainer = Trainer::<DeepCluster<Tiny>>::with_backbone(config, images, &out, &device, init)?;
    trainer.run(&mut ())?;
    let run = RunDirectory::open(&out)?;
    for epoch in run.metrics()? {
        println!("epoch {}: loss {:?}, NMI to previous {:?}", epoch.epoch, epoch.loss, epoch.nmi_to_previous);
    }
    // The run is opened again with the same code.
    let model = TrainedModel::load_backbone(&run, &device, init)?;
    let network = run.network()?;
    let clusters = model.clusters().centroids.nrows();
    println!("{}: {} parameters, {clusters} clusters", network.name, network.num_parameters);
    Ok(())
}
