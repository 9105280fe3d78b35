//! Exported models compute what the network computes.

use std::collections::BTreeMap;

use crate::{
    Architecture, Backbone, ConvNet, ConvNetConfig, NamedWeights, Pass, export_weights, import_weights,
};
use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_clustering::{ClusterModel, Whitening, WhiteningConfig};
use ndarray::{Array2, s};

use super::interpreter::{Value, run};
use super::write;
use crate::weights::error::WeightsError;
use crate::weights::export::ExportedNetwork;

const NUM_IMAGES: usize = 12;

/// Numbers in `[-1, 1)` without structure.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A network whose statistics of batch norm, scales and biases are not those of a new one.
fn network(config: &ConvNetConfig) -> (ConvNet, NamedWeights) {
    let new = config.init(1, &Device::flex()).unwrap();
    let mut weights = export_weights(&new).unwrap();
    for (seed, (name, data)) in weights.iter_mut().enumerate() {
        let count = data.num_elements();
        let around = match name.rsplit('.').next().unwrap() {
            "gamma" | "running_var" => Some(1.0),
            "bias" | "beta" | "running_mean" => Some(0.0),
            _ => None,
        };
        if let Some(around) = around {
            let values = numbers(count, seed as u64).into_iter().map(|value| around + 0.3 * value);
            *data = TensorData::new(values.collect::<Vec<f32>>(), data.shape().clone());
        }
    }
    (import_weights(new, weights.clone()).unwrap(), weights)
}

fn export<'a>(
    config: &'a ConvNetConfig,
    network: &'a NamedWeights,
    clusters: Option<&'a ClusterModel>,
) -> ExportedNetwork<'a> {
    let (input_mean, input_std) = ([0.5; 3], [0.25; 3]);
    let metadata = BTreeMap::new();
    ExportedNetwork { config, network, head: None, clusters, input_mean, input_std, metadata }
}

fn images(config: &ConvNetConfig) -> Value {
    let shape = vec![NUM_IMAGES, 3, config.image_size, config.image_size];
    Value { values: numbers(shape.iter().product(), 99), shape }
}

fn features(network: &ConvNet, images: &Value) -> Array2<f32> {
    let images = TensorData::new(images.values.clone(), images.shape.clone());
    let images = Tensor::<4>::from_data(images, &Device::flex());
    let features = network.features(images, &Pass::inference());
    let shape = (features.dims()[0], features.dims()[1]);
    Array2::from_shape_vec(shape, features.into_data().try_to_vec().unwrap()).unwrap()
}

/// Clusters around every third image.
fn clusters(features: &Array2<f32>, whitening: Option<Whitening>) -> ClusterModel {
    let rows = match &whitening {
        Some(whitening) => whitening.transform(&features).unwrap(),
        None => features.clone(),
    };
    ClusterModel { whitening, centroids: rows.slice(s![..;3, ..]).to_owned() }
}

fn assert_close(found: &Value, expected: &Array2<f32>, tolerance: f32) {
    assert_eq!(found.shape, expected.shape());
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0);
    for (found, expected) in found.values.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * largest, "{found} and {expected}");
    }
}

#[test]
fn models_give_the_features_and_clusters_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    for (architecture, size) in
        [(Architecture::Alexnet, 63), (Architecture::AlexnetSmall, 32), (Architecture::Vgg16, 32)]
    {
        for (sobel, whiten, normalize) in [(true, true, true), (false, false, true), (true, true, false)] {
            let config = ConvNetConfig::new(architecture, size, sobel, 0.0625).unwrap();
            let (network, weights) = network(&config);
            let images = images(&config);
            let features = features(&network, &images);
            let settings = WhiteningConfig { num_components: 6, whiten, normalize };
            let clusters = clusters(&features, Some(settings.fit(&features).unwrap()));
            write(&export(&config, &weights, Some(&clusters)), &path).unwrap();
            let outputs = run(&std::fs::read(&path).unwrap(), images);
            assert_eq!(outputs.keys().collect::<Vec<_>>(), ["cluster", "features", "whitened"]);
            assert_close(&outputs["features"], &features, 1e-5);
            let whitened = clusters.whitening.as_ref().unwrap().transform(&features).unwrap();
            assert_close(&outputs["whitened"], &whitened, 1e-4);
            let expected: Vec<f32> =
                clusters.assign(&features).unwrap().0.into_iter().map(|label| label as f32).collect();
            assert_eq!(outputs["cluster"].values, expected);
            // Every third image is its own centroid.
            assert_eq!([expected[0], expected[3], expected[9]], [0.0, 1.0, 3.0]);
        }
    }
}

#[test]
fn networks_without_whitening_or_clusters_have_fewer_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.0625).unwrap();
    let (network, weights) = network(&config);
    let images = images(&config);
    let features = features(&network, &images);
    let clusters = clusters(&features, None);
    write(&export(&config, &weights, Some(&clusters)), &path).unwrap();
    let outputs = run(&std::fs::read(&path).unwrap(), images.clone());
    assert_eq!(outputs.keys().collect::<Vec<_>>(), ["cluster", "features"]);
    let expected = clusters.assign(&features).unwrap().0;
    assert_eq!(outputs["cluster"].values, expected.iter().map(|&label| label as f32).collect::<Vec<_>>());
    write(&export(&config, &weights, None), &path).unwrap();
    let outputs = run(&std::fs::read(&path).unwrap(), images);
    assert_eq!(outputs.keys().collect::<Vec<_>>(), ["features"]);
}

#[test]
fn a_row_equal_to_the_mean_stays_zero_and_gets_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.0625).unwrap();
    let (network, weights) = network(&config);
    let images = images(&config);
    let features = features(&network, &images);
    // Images that are all equal leave a single component that maps every row to 0.
    let equal = Array2::from_shape_fn(features.dim(), |(_, column)| features[[0, column]]);
    let whitening = WhiteningConfig::default().fit(&equal).unwrap();
    let centroids = ndarray::array![[0.5_f32], [0.25], [-1.0]];
    let clusters = ClusterModel { whitening: Some(whitening), centroids };
    write(&export(&config, &weights, Some(&clusters)), &path).unwrap();
    let outputs = run(&std::fs::read(&path).unwrap(), images);
    assert_eq!(outputs["whitened"].values, [0.0; NUM_IMAGES]);
    assert_eq!(outputs["cluster"].values, [1.0; NUM_IMAGES]);
}

#[test]
fn models_beyond_two_gibibytes_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    // 4096 * 3.2 = 13107 units, 6 * 6 * 819 inputs: 558 million weights. Zeros take no memory until they are
    // read.
    let config = ConvNetConfig::new(Architecture::Alexnet, 224, true, 3.2).unwrap();
    let shapes = crate::convnet::shapes::weight_shapes(&config).unwrap();
    let zeros = |shape: Vec<usize>| TensorData::new(vec![0.0_f32; shape.iter().product()], shape);
    let weights: NamedWeights = shapes.into_iter().map(|(name, shape)| (name, zeros(shape))).collect();
    let error = write(&export(&config, &weights, None), &path).unwrap_err();
    assert!(matches!(error, WeightsError::TooLarge { num_bytes, .. } if num_bytes > 1 << 31), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
