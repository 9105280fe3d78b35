//! Exported files read back by the libraries of their formats.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_clustering::{ClusterModel, WhiteningConfig};
use deepcluster_models::weights::{
    ExportFormat, ExportedNetwork, WeightsError, export, pytorch_head, pytorch_parameters,
};
use deepcluster_models::{
    Architecture, Backbone, ConvNet, ConvNetConfig, Head, NamedWeights, Pass, SOBEL_KERNELS, export_weights,
    import_weights,
};
use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};

const FEATURE_DIM: usize = 64;
const NUM_CLUSTERS: usize = 5;

fn config(sobel: bool) -> ConvNetConfig {
    ConvNetConfig::new(Architecture::AlexnetSmall, 32, sobel, 0.0625).unwrap()
}

/// The formats of this build.
fn formats() -> impl Iterator<Item = ExportFormat> {
    let is_compiled = |format: &ExportFormat| cfg!(feature = "onnx") || *format != ExportFormat::Onnx;
    ExportFormat::ALL.into_iter().filter(is_compiled)
}

/// A network with its head and clusters.
struct Parts {
    config: ConvNetConfig,
    network: NamedWeights,
    head: NamedWeights,
    clusters: ClusterModel,
}

impl Parts {
    fn new(sobel: bool) -> Self {
        let device = Device::flex();
        let config = config(sobel);
        let network = export_weights(&config.init(1, &device).unwrap()).unwrap();
        let head = export_weights(&Head::new(FEATURE_DIM, NUM_CLUSTERS, 2, &device)).unwrap();
        let rows =
            Array2::from_shape_fn((40, FEATURE_DIM), |(i, j)| ((i * 31 + j * 17 + i * j) % 101) as f32);
        let settings = WhiteningConfig { num_components: 4, ..WhiteningConfig::default() };
        let whitening = Some(settings.fit(&rows).unwrap());
        let centroids = Array2::from_shape_fn((NUM_CLUSTERS, 4), |(i, j)| (i * 4 + j) as f32);
        Self { config, network, head, clusters: ClusterModel { whitening, centroids } }
    }

    fn exported(&self) -> ExportedNetwork<'_> {
        ExportedNetwork {
            config: &self.config,
            network: &self.network,
            head: Some(&self.head),
            clusters: Some(&self.clusters),
            input_mean: [0.485, 0.456, 0.406],
            input_std: [0.229, 0.224, 0.225],
            metadata: (0..9).map(|index| (format!("key {index}"), "a \"value\"".to_string())).collect(),
        }
    }

    fn export(&self, format: ExportFormat) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network");
        export(&self.exported(), format, &path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::read(path).unwrap()
    }
}

fn features(network: &ConvNet) -> TensorData {
    let pixels: Vec<f32> =
        (0..2 * 3 * 32 * 32).map(|index| (index * 7919 % 1009) as f32 / 500.0 - 1.0).collect();
    let images = Tensor::<4>::from_data(TensorData::new(pixels, [2, 3, 32, 32]), &Device::flex());
    network.features(images, &Pass::inference()).into_data()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

fn metadata(bytes: &[u8]) -> BTreeMap<String, String> {
    SafeTensors::read_metadata(bytes).unwrap().1.metadata().clone().unwrap().into_iter().collect()
}

#[test]
fn safetensors_hold_every_weight_under_its_name_and_describe_the_network() {
    let parts = Parts::new(true);
    let bytes = parts.export(ExportFormat::Safetensors);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut weights = NamedWeights::new();
    for name in parts.network.keys() {
        let tensor = file.tensor(name).unwrap();
        weights.insert(name.clone(), TensorData::new(f32_values(tensor.data()), tensor.shape().to_vec()));
    }
    let device = Device::flex();
    let expected = import_weights(config(true).init(7, &device).unwrap(), parts.network.clone()).unwrap();
    let found = import_weights(config(true).init(8, &device).unwrap(), weights).unwrap();
    assert_eq!(features(&found), features(&expected));

    let head = file.tensor("head.linear.weight").unwrap();
    assert_eq!(head.shape(), [FEATURE_DIM, NUM_CLUSTERS]);
    let whitening = parts.clusters.whitening.as_ref().unwrap();
    let components = file.tensor("clusters.whitening.components").unwrap();
    assert_eq!((components.dtype(), components.shape()), (Dtype::F64, &[4, FEATURE_DIM][..]));
    let values: Vec<f64> =
        components.data().as_chunks::<8>().0.iter().map(|&word| f64::from_le_bytes(word)).collect();
    assert_eq!(values, whitening.components());
    let centroids = file.tensor("clusters.centroids").unwrap();
    assert_eq!(f32_values(centroids.data()), parts.clusters.centroids.iter().copied().collect::<Vec<_>>());
    let others = ["head.linear.bias", "clusters.whitening.mean", "clusters.whitening.normalize"];
    assert!(others.iter().all(|name| file.tensor(name).is_ok()));
    assert_eq!(file.len(), parts.network.len() + 2 + 4);

    let metadata = metadata(&bytes);
    let expected = [
        ("deepcluster_format", "1"),
        ("architecture", "alexnet-small"),
        ("image_size", "32"),
        ("sobel", "true"),
        ("input_mean", "[0.485, 0.456, 0.406]"),
        ("input_std", "[0.229, 0.224, 0.225]"),
        ("key 8", "a \"value\""),
    ];
    assert!(expected.iter().all(|&(key, value)| metadata[key] == value), "{metadata:?}");
    assert_eq!(metadata.len(), 6 + 9);
}

#[test]
fn the_state_dict_has_every_key_of_the_original_and_turned_matrices() {
    for sobel in [true, false] {
        let parts = Parts::new(sobel);
        let bytes = parts.export(ExportFormat::PytorchSafetensors);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut expected: BTreeSet<String> = pytorch_parameters(&parts.config)
            .into_iter()
            .chain(pytorch_head())
            .map(|parameter| parameter.pytorch_name)
            .collect();
        // Batch norm follows the convolutions 0, 4, 8, 11 and 14; pooling those before 4 and 8.
        expected.extend([1, 5, 9, 12, 15].map(|layer| format!("features.{layer}.num_batches_tracked")));
        if sobel {
            expected.extend(["0.weight", "0.bias", "1.weight", "1.bias"].map(|part| format!("sobel.{part}")));
            let kernels = file.tensor("sobel.1.weight").unwrap();
            assert_eq!(kernels.shape(), [2, 1, 3, 3]);
            assert_eq!(f32_values(kernels.data()), SOBEL_KERNELS.as_flattened());
            assert_eq!(f32_values(file.tensor("sobel.0.weight").unwrap().data()), [1.0 / 3.0; 3]);
        }
        assert_eq!(file.names().into_iter().map(str::to_string).collect::<BTreeSet<_>>(), expected);
        let counter = file.tensor("features.1.num_batches_tracked").unwrap();
        assert_eq!((counter.dtype(), counter.shape(), counter.data()), (Dtype::I64, &[][..], &[0; 8][..]));

        for (name, ours) in [
            ("classifier.1.weight", &parts.network["fc6.weight"]),
            ("classifier.4.weight", &parts.network["fc7.weight"]),
            ("top_layer.weight", &parts.head["linear.weight"]),
        ] {
            let theirs = file.tensor(name).unwrap();
            let (inputs, outputs) = (ours.shape()[0], ours.shape()[1]);
            assert_eq!(theirs.shape(), [outputs, inputs], "{name}");
            let (theirs, ours) = (f32_values(theirs.data()), ours.as_slice::<f32>().unwrap());
            for input in 0..inputs {
                for output in 0..outputs {
                    assert_eq!(theirs[output * inputs + input], ours[input * outputs + output]);
                }
            }
        }
        let convolution = parts.network["blocks.1.convolution.weight"].as_slice::<f32>().unwrap();
        assert_eq!(f32_values(file.tensor("features.4.weight").unwrap().data()), convolution);
        assert_eq!(metadata(&bytes)["format"], "pt");
    }
}

#[test]
fn without_a_head_the_state_dict_has_no_top_layer() {
    let parts = Parts::new(true);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let exported = ExportedNetwork { head: None, ..parts.exported() };
    export(&exported, ExportFormat::PytorchSafetensors, &path).unwrap();
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.names().iter().all(|name| !name.starts_with("top_layer")));
    assert!(file.tensor("classifier.4.bias").is_ok());
}

#[test]
fn a_record_of_burn_fills_another_network_bit_for_bit() {
    let parts = Parts::new(true);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.bpk");
    export(&parts.exported(), ExportFormat::Burnpack, &path).unwrap();
    let device = Device::flex();
    let expected = import_weights(config(true).init(7, &device).unwrap(), parts.network.clone()).unwrap();
    let other = config(true).init(8, &device).unwrap();
    assert_ne!(features(&other), features(&expected));
    let loaded = other.try_load_record(ModuleRecord::load(&path).unwrap()).unwrap();
    assert_eq!(features(&loaded), features(&expected));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let wider = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.125).unwrap();
    let wider = wider.init(1, &device).unwrap();
    assert!(wider.try_load_record(ModuleRecord::load(&path).unwrap()).is_err());
}

#[test]
fn equal_networks_give_equal_bytes_in_every_format() {
    for format in formats() {
        assert!(Parts::new(true).export(format) == Parts::new(true).export(format), "{format}");
    }
}

#[test]
fn every_format_replaces_a_file_and_has_a_name() {
    let parts = Parts::new(false);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network");
    for format in formats() {
        fs::write(&path, "something else").unwrap();
        export(&parts.exported(), format, &path).unwrap();
        assert!(fs::metadata(&path).unwrap().len() > 10_000, "{format}");
        assert_eq!(format.name().parse::<ExportFormat>().unwrap(), format);
    }
    let extensions: BTreeSet<&str> = ExportFormat::ALL.map(ExportFormat::extension).into_iter().collect();
    assert_eq!(extensions.len(), ExportFormat::ALL.len());
    let error = "tflite".parse::<ExportFormat>().unwrap_err().to_string();
    assert!(error.contains("tflite") && error.contains("pytorch-safetensors"), "{error}");
}

#[test]
fn parts_that_do_not_belong_together_are_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network");
    let parts = Parts::new(true);
    let vector = TensorData::new(vec![0.0_f32; 3], [3]);
    let (mut missing, mut extra, mut misshapen) =
        (parts.network.clone(), parts.network.clone(), parts.network.clone());
    missing.remove("blocks.0.norm.beta");
    extra.insert("fc8.bias".to_string(), vector.clone());
    misshapen.insert("fc7.bias".to_string(), vector);
    let mut integers = parts.network.clone();
    integers.insert("fc7.bias".to_string(), TensorData::new(vec![0_i32; FEATURE_DIM], [FEATURE_DIM]));
    let head = export_weights(&Head::new(FEATURE_DIM + 1, 2, 1, &Device::flex())).unwrap();
    let clusters = ClusterModel { whitening: None, centroids: Array2::zeros((2, FEATURE_DIM + 1)) };
    let whitened = ClusterModel { centroids: Array2::zeros((2, FEATURE_DIM)), ..parts.clusters.clone() };
    let with = |network| ExportedNetwork { network, ..parts.exported() };
    let cases = [
        (with(&missing), "blocks.0.norm.beta"),
        (with(&extra), "fc8.bias"),
        (with(&misshapen), "fc7.bias"),
        (with(&integers), "fc7.bias"),
        (ExportedNetwork { head: Some(&head), ..parts.exported() }, "linear.weight"),
        (ExportedNetwork { clusters: Some(&clusters), ..parts.exported() }, "centroids"),
        (ExportedNetwork { clusters: Some(&whitened), ..parts.exported() }, "centroids"),
    ];
    for (network, name) in cases {
        for format in formats() {
            let error = export(&network, format, &path).unwrap_err();
            assert!(matches!(error, WeightsError::Mismatch { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let parts = Parts::new(true);
    for format in formats() {
        let error = export(&parts.exported(), format, Path::new("/no/such/folder/network")).unwrap_err();
        assert!(matches!(error, WeightsError::Io { .. }), "{error}");
        assert!(error.to_string().contains("/no/such/folder/network"), "{error}");
    }
}

#[cfg(not(feature = "onnx"))]
#[test]
fn a_format_that_is_not_compiled_is_refused_with_the_feature() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        export(&Parts::new(true).exported(), ExportFormat::Onnx, &folder.path().join("a")).unwrap_err();
    assert!(error.to_string().contains("cargo feature `onnx`"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
