//! The contract of backbones, checked on each arm of `Network` and on a network of another crate.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_models::{
    Activation, Architecture, Backbone, ConvNetConfig, Input, LayerId, LayerInfo, LayerKind, ModelError,
    Network, NetworkInfo, Pass, export_weights, import_weights,
};

const SIDE: usize = 64;
const BATCH: usize = 5;

/// Without a convolution: tokens are rows of pixels, and dropout is drawn from the pass.
#[derive(Module, Debug)]
struct Rows {
    embedding: Linear,
    output: Linear,
    #[module(skip)]
    input: Input,
}

impl Rows {
    fn new(seed: u64, device: &Device) -> Self {
        device.seed(seed);
        Self {
            embedding: LinearConfig::new(3 * SIDE, 12).init(device),
            output: LinearConfig::new(12, 8).init(device),
            input: Input::for_side(SIDE),
        }
    }

    /// `[batch, SIDE, 12]`
    fn tokens(&self, images: Tensor<4>) -> Tensor<3> {
        let [batch, ..] = images.dims();
        self.embedding.forward(images.permute([0, 2, 1, 3]).reshape([batch, SIDE, 3 * SIDE]))
    }
}

impl Backbone for Rows {
    fn input(&self) -> &Input {
        &self.input
    }

    fn feature_dim(&self) -> usize {
        8
    }

    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let mean: Tensor<2> = self.tokens(images).mean_dim(1).flatten(1, 2);
        self.output.forward(pass.dropout(mean, 0.5))
    }

    fn layers(&self) -> Vec<LayerInfo> {
        vec![LayerInfo::new("rows", LayerKind::Tokens, 12), LayerInfo::new("output", LayerKind::Vector, 8)]
    }

    fn activations(&self, images: Tensor<4>, layers: &[&str]) -> Vec<Activation> {
        let activation = |&layer: &&str| match layer {
            "rows" => Activation::Tokens(self.tokens(images.clone())),
            "output" => Activation::Vector(self.features(images.clone(), &Pass::inference())),
            other => panic!("there is no layer {other}"),
        };
        layers.iter().map(activation).collect()
    }
}

/// The same image for the same number, whatever the batch.
fn images(numbers: impl Iterator<Item = usize>, device: &Device) -> Tensor<4> {
    let value = |place: usize| (place * 7919 % 1009) as f32 / 500.0 - 1.0;
    let (numbers, size): (Vec<usize>, usize) = (numbers.collect(), 3 * SIDE * SIDE);
    let values = numbers.iter().flat_map(|number| (0..size).map(move |place| value(number * 31 + place)));
    let data = TensorData::new(values.collect::<Vec<f32>>(), [numbers.len(), 3, SIDE, SIDE]);
    Tensor::from_data(data, device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Every check, on the networks that `new` makes from a seed.
fn check<B: Backbone + Sync>(new: impl Fn(u64, &Device) -> B) {
    let device = Device::flex();
    let network = new(1, &device);
    let name = network.name();
    features_have_their_shape(&network, &name);
    layers_name_the_activations(&network, &name);
    features_do_not_depend_on_the_batch(&network, &name);
    features_do_not_depend_on_threads(&network, &name);
    passes_of_one_seed_draw_the_same(&network, &name);
    weights_are_saved_and_loaded(&network, new(2, &device), new(3, &device), &name);
    let info = NetworkInfo::new(&network);
    assert_eq!((info.name, info.side, info.feature_dim), (name, SIDE, network.feature_dim()));
    let num_weights: usize = export_weights(&network).unwrap().values().map(TensorData::num_elements).sum();
    assert_eq!(info.num_parameters, num_weights);
}

fn features_have_their_shape<B: Backbone>(network: &B, name: &str) {
    assert_eq!(network.input().side, SIDE, "{name}");
    let features = network.features(images(0..BATCH, &Device::flex()), &Pass::inference());
    assert_eq!(features.dims(), [BATCH, network.feature_dim()], "{name}");
    assert!(values(features.clone()).iter().all(|value| value.is_finite()), "{name}");
    assert_eq!(network.head_input(features).dims(), [BATCH, network.feature_dim()], "{name}");
}

fn layers_name_the_activations<B: Backbone>(network: &B, name: &str) {
    let batch = images(0..BATCH, &Device::flex());
    let layers = network.layers();
    let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{name}: names are not unique");
    let all = network.activations(batch.clone(), &names);
    assert_eq!(all.len(), layers.len(), "{name}");
    for (layer, activation) in layers.iter().zip(all) {
        let dims = activation.dims();
        let (is_kind, channels) = match (&activation, layer.kind) {
            (Activation::Map(_), LayerKind::Convolution | LayerKind::Pooling) => (true, dims[1]),
            (Activation::Tokens(_), LayerKind::Tokens) => (true, dims[2]),
            (Activation::Vector(_), LayerKind::Vector) => (true, dims[1]),
            _ => (false, 0),
        };
        assert!(is_kind && dims[0] == BATCH && channels == layer.channels, "{name}: {layer:?} is {dims:?}");
        // Asked for alone, or among others in another order, a layer is the same.
        let id = LayerId::find(network, &layer.name).unwrap();
        assert_eq!(id.name(network), layer.name);
        let alone = values(id.activation(network, batch.clone()).into_rows());
        assert_eq!(alone, values(activation.into_rows()), "{name}: {layer:?}");
    }
    let reversed: Vec<&str> = names.iter().rev().copied().collect();
    let backwards = network.activations(batch.clone(), &reversed).remove(0);
    let features = values(network.features(batch, &Pass::inference()));
    assert_eq!(values(backwards.into_rows()), features, "{name}: the last layer is that of the features");
    assert_eq!(LayerId::find(network, "features"), Some(LayerId::Features));
    assert_eq!(LayerId::find(network, "no such layer"), None);
}

fn features_do_not_depend_on_the_batch<B: Backbone>(network: &B, name: &str) {
    let device = Device::flex();
    let together = values(network.features(images(0..BATCH, &device), &Pass::inference()));
    let largest = together.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (number, row) in together.chunks(network.feature_dim()).enumerate() {
        let alone = values(network.features(images(number..number + 1, &device), &Pass::inference()));
        // Rows of a batch may be multiplied by other kernels than one alone.
        let differs = alone.iter().zip(row).any(|(alone, row)| (alone - row).abs() > 1e-5 * largest);
        assert!(!differs, "{name}: image {number}");
    }
}

fn features_do_not_depend_on_threads<B: Backbone + Sync>(network: &B, name: &str) {
    let compute = |num_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        let batch = images(0..BATCH, &Device::flex());
        pool.install(|| values(network.features(batch, &Pass::inference())))
    };
    let one = compute(1);
    for num_threads in [2, 3, 8] {
        assert_eq!(compute(num_threads), one, "{name}: {num_threads} threads");
    }
}

fn passes_of_one_seed_draw_the_same<B: Backbone>(network: &B, name: &str) {
    let batch = || images(0..BATCH, &Device::flex());
    let trained = |seed| values(network.features(batch(), &Pass::training(seed)));
    assert_eq!(trained(7), trained(7), "{name}");
    let inferred = || values(network.features(batch(), &Pass::inference()));
    assert_eq!(inferred(), inferred(), "{name}");
}

fn weights_are_saved_and_loaded<B: Backbone>(network: &B, second: B, third: B, name: &str) {
    let features =
        |network: &B| values(network.features(images(0..BATCH, &Device::flex()), &Pass::inference()));
    assert_ne!(features(&second), features(network), "{name}");
    let imported = import_weights(second, export_weights(network).unwrap()).unwrap();
    assert_eq!(features(&imported), features(network), "{name}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.bpk");
    network.clone().into_record().save(&path).unwrap();
    let loaded = third.try_load_record(ModuleRecord::load(&path).unwrap()).unwrap();
    assert_eq!(features(&loaded), features(network), "{name}");
}

#[test]
fn every_network_keeps_the_promises_of_a_backbone() {
    for (architecture, width) in
        [(Architecture::Alexnet, 0.05), (Architecture::AlexnetSmall, 0.1), (Architecture::Vgg16, 0.05)]
    {
        for sobel in [true, false] {
            let config = ConvNetConfig::new(architecture, SIDE, sobel, width).unwrap();
            check(|seed, device| Network::from(config.init(seed, device).unwrap()));
        }
    }
}

#[test]
fn a_network_of_another_crate_keeps_them_too() {
    check(Rows::new);
    assert_eq!(Rows::new(1, &Device::flex()).name(), "Rows");
}

#[test]
fn weights_have_the_names_they_have_without_the_enum() -> Result<(), ModelError> {
    let convnet =
        ConvNetConfig::new(Architecture::AlexnetSmall, SIDE, true, 0.1)?.init(1, &Device::flex())?;
    let network = Network::from(convnet.clone());
    assert_eq!(export_weights(&network)?, export_weights(&convnet)?);
    assert_eq!(LayerId::last_maps(&network).name(&network), "convolutions");
    assert_eq!(LayerId::last_maps(&Rows::new(1, &Device::flex())), LayerId::Features);
    Ok(())
}

#[test]
fn a_network_is_described_without_being_built() {
    for architecture in Architecture::ALL {
        let config = ConvNetConfig::new(architecture, SIDE, true, 0.1).unwrap();
        assert_eq!(config.info(), NetworkInfo::new(&config.init(1, &Device::flex()).unwrap()));
    }
}
