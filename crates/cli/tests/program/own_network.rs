//! Commands on a run of a network that is not one of the program.

// The derived code of a module names the crate.
use deepcluster::burn::{
    self,
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor},
};
use deepcluster::data::Images;
use deepcluster::models::{Activation, Backbone, Input, LayerInfo, LayerKind, Pass};
use deepcluster::trainer::{DeepCluster, TrainConfig, Trainer, parse_device};

use crate::common::{deepcluster, draw_images, tiny_config};

/// A linear layer on the mean colours of 8 x 8 blocks.
#[derive(Module, Debug)]
struct Blocks {
    linear: Linear,
    #[module(skip)]
    input: Input,
}

impl Blocks {
    fn new(seed: u64, device: &Device) -> Self {
        device.seed(seed);
        Self { linear: LinearConfig::new(3 * 64, 24).init(device), input: Input::for_side(32) }
    }
}

impl Backbone for Blocks {
    fn input(&self) -> &Input {
        &self.input
    }

    fn feature_dim(&self) -> usize {
        24
    }

    fn features(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
        let [batch, ..] = images.dims();
        let blocks = images.reshape([batch, 3, 8, 4, 8, 4]).mean_dim(5).mean_dim(3);
        self.linear.forward(blocks.reshape([batch, 3 * 64]))
    }

    fn layers(&self) -> Vec<LayerInfo> {
        vec![LayerInfo::new("linear", LayerKind::Vector, 24)]
    }

    fn activations(&self, images: Tensor<4>, layers: &[&str]) -> Vec<Activation> {
        let features = self.features(images, &Pass::inference());
        layers.iter().map(|_| Activation::Vector(features.clone())).collect()
    }
}

#[test]
fn inspect_prints_the_network_of_the_run_and_other_commands_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 48);
    let run = folder.path().join("run");
    let config = TrainConfig::load(&tiny_config(folder.path(), 1)).unwrap();
    let device = parse_device("cpu").unwrap();
    let found = Images::open(&images).unwrap();
    let init = |seed, device: &Device| Ok(Blocks::new(seed, device));
    let trainer = Trainer::<DeepCluster<Blocks>>::with_backbone(config, found, &run, &device, init);
    trainer.unwrap().run(&mut ()).unwrap();

    let text = deepcluster().arg("inspect").arg(&run).assert().success();
    let text = String::from_utf8(text.get_output().stdout.clone()).unwrap();
    assert!(text.contains("network  Blocks at 32 px, 4632 parameters, seed 5"), "{text}");
    assert!(text.contains("layers   linear 24") && !text.contains("alexnet"), "{text}");
    let json = deepcluster().args(["--json", "inspect"]).arg(&run).assert().success();
    let json: serde_json::Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!((&json["network"]["name"], &json["network"]["feature_dim"]), (&"Blocks".into(), &24.into()));

    let out = folder.path().join("out.npy");
    for command in [
        vec!["assign", run.to_str().unwrap(), images.to_str().unwrap()],
        vec!["kernels", run.to_str().unwrap()],
        vec!["features", run.to_str().unwrap(), images.to_str().unwrap(), "--out", out.to_str().unwrap()],
        vec!["train", "--resume", "--out", run.to_str().unwrap()],
    ] {
        let failed = deepcluster().args(&command).assert().failure().code(2);
        let error = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
        assert!(
            error.contains("the network Blocks, which is not one of this program"),
            "{command:?}: {error}"
        );
    }
}
