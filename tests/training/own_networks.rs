//! Runs of a network that is not one of the library.

use deepcluster::burn::module::Module;
use deepcluster::burn::nn::{Linear, LinearConfig};
use deepcluster::burn::tensor::Tensor;
use deepcluster::models::{
    Activation, Architecture, Backbone, Input, LayerInfo, LayerKind, ModelError, Pass, export_weights,
};
use deepcluster::prelude::*;
use deepcluster::trainer::TrainedNetwork;
use deepcluster::trainer::TrainerError as Error;

use crate::{StopAfter, cpu, draw_images, tiny_config};

/// A linear layer on images averaged to 8 x 8.
#[derive(Module, Debug)]
struct Blocks {
    linear: Linear,
    #[module(skip)]
    input: Input,
}

impl Blocks {
    fn of_input(input: Input) -> impl Fn(u64, &Device) -> Result<Self, ModelError> {
        move |seed, device| {
            device.seed(seed);
            Ok(Self { linear: LinearConfig::new(3 * 64, 24).init(device), input })
        }
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
        let [batch, _, side, _] = images.dims();
        let blocks = images.reshape([batch, 3, 8, side / 8, 8, side / 8]).mean_dim(5).mean_dim(3);
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

type BlocksTrainer = Trainer<DeepCluster<Blocks>>;

#[test]
fn a_network_of_another_input_is_refused_at_the_beginning_and_when_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 48);
    let out = folder.path().join("run");
    let begin = |input| {
        let init = Blocks::of_input(input);
        BlocksTrainer::with_backbone(tiny_config(), images.clone(), &out, &cpu(), init)
    };
    let words = |error: Option<Error>| {
        let error = error.unwrap();
        assert!(matches!(error, Error::OtherInput { .. }), "{error}");
        error.to_string()
    };
    let error = words(begin(Input::for_side(48)).err());
    for part in ["Blocks takes images of 48 px", "images.size is 32"] {
        assert!(error.contains(part), "{error}");
    }
    let grey = Input { mean: [0.5; 3], ..Input::for_side(32) };
    assert!(words(begin(grey).err()).contains("mean [0.5, 0.5, 0.5]"));
    // Nothing was written: the folder is free for the next.
    assert!(!out.exists());
    let mut observer = StopAfter { steps_left: 1, in_training: false };
    assert!(begin(Input::for_side(32)).unwrap().run(&mut observer).is_err());

    let resume =
        |input| BlocksTrainer::resume_with_backbone(&out, None, &cpu(), |_| Ok(()), Blocks::of_input(input));
    let error = words(resume(Input::for_side(40)).err());
    assert!(error.contains("40 px") && error.contains("images.size is 32"), "{error}");
    let run = RunDirectory::open(&out).unwrap();
    let load = |input| TrainedNetwork::load_backbone(&run, &cpu(), Blocks::of_input(input));
    assert!(words(load(Input::for_side(40)).err()).contains("40 px"));
    resume(Input::for_side(32)).unwrap().run(&mut ()).unwrap();
}

#[test]
fn rules_of_a_network_of_the_library_do_not_apply_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 48);
    let mut config = tiny_config();
    // AlexNet takes no images of 32 px.
    config.network.kind = Some(Architecture::Alexnet);
    config.training.epochs = 1;
    let out = folder.path().join("alexnet");
    assert!(Trainer::new(config.clone(), images.clone(), &out, &cpu()).is_err());
    let out = folder.path().join("blocks");
    let init = Blocks::of_input(Input::for_side(32));
    let trainer = BlocksTrainer::with_backbone(config.clone(), images.clone(), &out, &cpu(), init).unwrap();
    trainer.run(&mut ()).unwrap();
    config.training.epochs = 2;
    let more = |config: &mut TrainConfig| {
        config.training.epochs = 2;
        Ok(())
    };
    let init = Blocks::of_input(Input::for_side(32));
    BlocksTrainer::resume_with_backbone(&out, None, &cpu(), more, init).unwrap().run(&mut ()).unwrap();
}

#[test]
fn a_run_tells_which_network_it_has_and_is_opened_by_its_code_alone() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 48);
    let out = folder.path().join("run");
    let init = Blocks::of_input(Input::for_side(32));
    let trainer = BlocksTrainer::with_backbone(tiny_config(), images.clone(), &out, &cpu(), &init).unwrap();
    let trained = trainer.run(&mut ()).unwrap();
    let run = RunDirectory::open(&out).unwrap();
    let network = run.network().unwrap();
    assert_eq!((network.name.as_str(), network.side, network.feature_dim), ("Blocks", 32, 24));
    assert_eq!((network.num_parameters, network.layers[0].name.as_str()), (3 * 64 * 24 + 24, "linear"));

    for error in [
        TrainedModel::load(&run, &cpu()).err(),
        TrainedNetwork::load(&run, &cpu()).err(),
        Trainer::resume(&out, &cpu(), |_| Ok(())).err(),
    ] {
        let error = error.unwrap();
        assert!(matches!(error, Error::OtherNetwork { .. }), "{error}");
        assert!(error.to_string().contains("Blocks"), "{error}");
    }
    let loaded = TrainedModel::load_backbone(&run, &cpu(), init).unwrap();
    let weights = |model: &TrainedModel<Blocks>| export_weights(model.network()).unwrap();
    assert_eq!(weights(&loaded), weights(&trained));
    let images = std::sync::Arc::new(images);
    assert_eq!(loaded.assign(&images, &mut ()).unwrap().image_indices.len(), 48);
}

#[test]
fn a_run_of_the_library_tells_its_network_too() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 48);
    let out = folder.path().join("run");
    let trainer = Trainer::new(tiny_config(), images, &out, &cpu()).unwrap();
    let network = trainer.run_directory().network().unwrap();
    assert_eq!(network, tiny_config().network().unwrap().info());
    assert_eq!((network.name.as_str(), network.layers.len()), ("alexnet-small", 7));
}
