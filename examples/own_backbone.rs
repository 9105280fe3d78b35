//! Trains a network of your own: any Burn module that implements `Backbone`.
//!
//! `cargo run --release --example own_backbone`, half a minute on 2 cores. Expect three lines, one per
//! clustering.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};
use deepcluster::data::{SyntheticConfig, write_synthetic_folder};
use deepcluster::models::DropoutMasks;
use deepcluster::prelude::*;

/// Two strided convolutions, an average, a linear layer.
#[derive(Module, Debug)]
struct Tiny {
    first: Conv2d,
    second: Conv2d,
    features: Linear,
}

impl Tiny {
    /// Burn draws initial weights from the device's generator, which is seeded for that.
    fn new(seed: u64, device: &Device) -> Self {
        device.seed(seed);
        Self {
            first: Conv2dConfig::new([3, 16], [5, 5]).with_stride([2, 2]).init(device),
            second: Conv2dConfig::new([16, 32], [3, 3]).with_stride([2, 2]).init(device),
            features: LinearConfig::new(32 * 9, 64).init(device),
        }
    }
}

impl Backbone for Tiny {
    fn input_size(&self) -> usize {
        32
    }

    fn feature_dim(&self) -> usize {
        64
    }

    fn forward_features(&self, images: Tensor<4>, _dropout: &DropoutMasks) -> Tensor<2> {
        self.features.forward(self.forward_convolutions(images).flatten(1, 3))
    }

    fn forward_convolutions(&self, images: Tensor<4>) -> Tensor<4> {
        let maps = self.forward_taps(images).remove(1);
        adaptive_avg_pool2d(maps, [3, 3]) // [batch, 32, 3, 3]
    }

    fn tap_names(&self) -> Vec<String> {
        vec!["first".to_string(), "second".to_string()]
    }

    fn forward_taps(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let first = relu(self.first.forward(images));
        let second = relu(self.second.forward(first.clone()));
        vec![first, second]
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
    let init = |seed, device: &Device| Ok(Tiny::new(seed, device));
    let out = temporary.path().join("run");
    let device = parse_device("auto")?;
    let trainer = Trainer::<DeepCluster<Tiny>>::with_backbone(config, images, &out, &device, init)?;
    trainer.run(&mut ())?;
    for epoch in RunDirectory::open(&out)?.metrics()? {
        println!("epoch {}: loss {:?}, NMI to previous {:?}", epoch.epoch, epoch.loss, epoch.nmi_to_previous);
    }
    Ok(())
}
