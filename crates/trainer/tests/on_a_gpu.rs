//! Training on a GPU is training on the host, to rounding.
//!
//! Built with a feature of GPUs; the software driver of Mesa serves where there is none. Tolerances are those
//! of single precision, and wider where matrix units round factors to TF32.

#![cfg(feature = "gpu")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests, which say when they skip"
)]

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use deepcluster_data::write_synthetic_folder;
use deepcluster_data::{Images, Loader, LoaderConfig, Normalization, Sample, SyntheticConfig, Transform};
use deepcluster_engine::Ranks;
use deepcluster_kernels::device_limits;
use deepcluster_models::{
    Architecture, Backbone, ConvNet, ConvNetConfig, Head, Pass, Precision, export_weights,
};
use deepcluster_trainer::{
    Classifier, EngineError, RunDirectory, Sgd, TrainConfig, TrainedModel, Trainer, TrainerError,
    available_devices, images_tensor, parse_device,
};

/// The first device that is not the host; a test without one says so and passes.
fn gpu() -> Option<Device> {
    let found = available_devices().into_iter().find(|info| info.name != "cpu");
    if found.is_none() {
        assert!(std::env::var_os("DEEPCLUSTER_TEST_GPU").is_none(), "a GPU was promised, and there is none");
        eprintln!("skipped: there is no GPU and no software driver for one");
    }
    found.map(|info| parse_device(&info.name).unwrap())
}

fn tolerance(device: &Device, of_f32: f32, of_tf32: f32) -> f32 {
    if device_limits(device).is_some_and(|limits| limits.has_tf32) { of_tf32 } else { of_f32 }
}

fn folder(num_images: usize) -> (tempfile::TempDir, Images) {
    let root = tempfile::tempdir().unwrap();
    let drawings = SyntheticConfig { num_images, image_size: 32, seed: 1 };
    write_synthetic_folder(root.path(), &drawings, &mut |_| {}).unwrap();
    let images = Images::open(root.path()).unwrap();
    (root, images)
}

/// Losses, features, and weights by their names.
type Steps = (Vec<f32>, Vec<f32>, Vec<(String, Vec<f32>)>);

/// Losses, features and weights of the small AlexNet over some steps on the same eight images.
fn steps_of_training(device: &Device, precision: Precision, num_steps: u64) -> Steps {
    let (_root, images) = folder(8);
    let transform = Transform::Center { resize: 32, size: 32, normalization: Normalization::default() };
    let sample = |image_index| Sample { image_index, augmentation_seed: 0, crop: 0 };
    let loader = Loader::new(Arc::new(images), LoaderConfig::default()).unwrap();
    let batch = loader.batches(transform, vec![(0..8).map(sample).collect()]).next().unwrap();
    let tracking = device.clone().autodiff();
    let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
    let network: ConvNet = config.init(3, &tracking).unwrap().with_precision(precision);
    let head = Head::new(network.feature_dim(), 4, 5, &tracking);
    let (network_sgd, head_sgd) = (Sgd::new(0.05, 0.9, 1e-5), Sgd::new(0.05, 0.0, 1e-5));
    let mut learner = Classifier::learner(network, Some(head), network_sgd, head_sgd);
    let mut losses = Vec::new();
    for step in 0..num_steps {
        let targets = TensorData::new(vec![0_i64, 1, 2, 3, 0, 1, 2, 3], [8]);
        let targets = Tensor::<1, Int>::from_data(targets, &tracking);
        let dropout = Pass::training(step);
        let images = images_tensor(&batch, &tracking);
        let loss = learner.model.losses(images, targets, &dropout).unwrap();
        losses.push(learner.step(loss, &Ranks::single()).unwrap());
    }
    let losses = losses.into_iter().map(|loss| loss.read().unwrap() as f32).collect();
    let network = &learner.model.network;
    let plain = device.clone().without_autodiff();
    let features = network.valid().features(images_tensor(&batch, &plain), &Pass::inference());
    let weights = export_weights(network).unwrap().into_iter();
    let weights = weights.map(|(name, data)| (name, data.try_into_vec::<f32>().unwrap())).collect();
    (losses, features.into_data().try_into_vec().unwrap(), weights)
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[test]
fn steps_of_training_agree_with_those_of_the_host() {
    let Some(device) = gpu() else { return };
    let (on_host, on_gpu) = (
        steps_of_training(&Device::flex(), Precision::F32, 4),
        steps_of_training(&device, Precision::F32, 4),
    );
    assert_alike(on_host, on_gpu, tolerance(&device, 2e-4, 2e-2), tolerance(&device, 5e-3, 5e-2));
}

/// Four steps in bfloat16 go where those in single precision go: losses are near, weights, taken together,
/// miss by a twentieth of their way at most (single ones that hardly move are rounding), and features by
/// three times what the host misses in bfloat16, whose sums are of single precision: without matrix units
/// those of a GPU may not be.
#[test]
fn steps_in_bfloat16_go_the_way_of_single_precision() {
    let Some(device) = gpu() else { return };
    if !Precision::Bf16.is_supported(&device) {
        eprintln!("skipped: the device does not compute with bfloat16");
        return;
    }
    let together = |steps: Steps| steps.2.into_iter().flat_map(|(_, values)| values).collect::<Vec<f32>>();
    let begin = together(steps_of_training(&Device::flex(), Precision::F32, 0));
    let exact = steps_of_training(&Device::flex(), Precision::F32, 4);
    let on_host = steps_of_training(&Device::flex(), Precision::Bf16, 4);
    let rounded = steps_of_training(&device, Precision::Bf16, 4);
    for (exact, rounded) in exact.0.iter().zip(&rounded.0) {
        assert!((exact - rounded).abs() < 5e-2, "{exact} {rounded}");
    }
    let [features, of_host] = [&rounded, &on_host].map(|steps| distance(&exact.1, &steps.1));
    assert!(features <= 3.0 * of_host, "{features}, on the host {of_host}");
    let (exact, rounded) = (together(exact), together(rounded));
    let weights = distance(&exact, &rounded) / distance(&exact, &begin);
    assert!(weights < 5e-2, "weights miss by {weights} of their way");
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt() as f32
}

/// Losses within a tolerance; features and weights within a part of the largest.
fn assert_alike(on_host: Steps, on_gpu: Steps, loss_tolerance: f32, part: f32) {
    for (host, gpu) in on_host.0.iter().zip(&on_gpu.0) {
        assert!((host - gpu).abs() < loss_tolerance, "{:?} {:?}", on_host.0, on_gpu.0);
    }
    let named = [("features".to_string(), on_host.1)].into_iter().chain(on_host.2);
    let of_gpu = [on_gpu.1].into_iter().chain(on_gpu.2.into_iter().map(|(_, values)| values));
    for ((name, host), gpu) in named.zip(of_gpu) {
        let size = largest(&host).max(1e-3);
        let difference = host.iter().zip(&gpu).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(difference <= part * size, "{name}: {difference} of {size}");
    }
}

/// Two GPUs of a kind and the host twice: the same clusters at first, and the same losses.
#[test]
fn two_gpus_train_as_the_host_does_in_two_parts() {
    let Some(first) = gpu() else { return };
    let names = available_devices().into_iter().map(|info| info.name).filter(|name| name != "cpu");
    let names: Vec<String> = names.collect();
    let kind = |name: &String| name.split(':').next().map(str::to_string);
    let Some(second) = names[1..].iter().find(|name| kind(name) == kind(&names[0])) else {
        eprintln!("skipped: there is one GPU only");
        return;
    };
    let second = parse_device(second).unwrap();
    let (_root, images) = folder(40);
    let out = tempfile::tempdir().unwrap();
    let mut config = small_run();
    config.network.dropout = 0.0;
    config.training.epochs = 2;
    let first_epoch = |name: &str, devices: [&Device; 2]| {
        let run = out.path().join(name);
        let trainer = Trainer::new(config.clone(), images.clone(), &run, devices[0]).unwrap();
        let mut trainer = trainer.train_beside([devices[1].clone()]);
        let metrics = trainer.step_epoch(&mut ()).unwrap();
        let clusters = saved_clusters(&run);
        trainer.run(&mut ()).unwrap();
        (clusters, metrics.loss.unwrap())
    };
    let on_host = first_epoch("host", [&Device::flex(), &Device::flex()]);
    let on_gpus = first_epoch("gpus", [&first, &second]);
    let same = on_host.0.iter().zip(&on_gpus.0).filter(|(a, b)| a == b).count();
    assert!(same >= 38, "{same} of 40");
    let difference = (on_host.1 - on_gpus.1).abs();
    assert!(difference < f64::from(tolerance(&first, 2e-2, 1e-1)), "{} {}", on_host.1, on_gpus.1);
}

fn small_run() -> TrainConfig {
    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.kind = Some(Architecture::AlexnetSmall);
    config.network.width = 0.25;
    config.objective.clustering_mut().num_clusters = Some(4);
    config.objective.whitening_mut().num_components = 8;
    config.training.epochs = 1;
    config.training.batch_size = 8;
    config.training.feature_batch_size = 8;
    config
}

/// The clusters that a run has saved.
fn saved_clusters(run: &Path) -> Vec<u32> {
    let saved = std::fs::read_to_string(run.join("assignments.csv")).unwrap();
    saved.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_run_on_a_gpu_gives_a_model_that_the_host_agrees_with() {
    let Some(device) = gpu() else { return };
    let (_root, images) = folder(40);
    let out = tempfile::tempdir().unwrap();
    let run = out.path().join("run");
    let model = Trainer::new(small_run(), images.clone(), &run, &device).unwrap().run(&mut ()).unwrap();
    let images = Arc::new(images);
    let on_gpu = model.assign(&images, &mut ()).unwrap();
    let loaded = TrainedModel::load(&RunDirectory::open(&run).unwrap(), &Device::flex()).unwrap();
    let on_host = loaded.assign(&images, &mut ()).unwrap();
    let same = on_gpu.clusters.iter().zip(&on_host.clusters).filter(|(a, b)| a == b).count();
    assert!(same >= 38, "{same} of 40");
    // The clusters that the run has saved are those of its own features.
    let same = saved_clusters(&run).iter().zip(&on_host.clusters).filter(|(a, b)| a == b).count();
    assert!(same >= 38, "{same} of 40");
}

#[test]
fn too_large_a_batch_says_what_fits() {
    let Some(device) = gpu() else { return };
    let Some(limits) = device_limits(&device) else { return };
    // The maps of the first convolution are beyond the largest tensor of the device: 12 x 32 x 32 values an
    // image.
    let too_many = (limits.largest_tensor / (4 * 12 * 32 * 32)) as usize + 2;
    if too_many > 20_000 {
        eprintln!("skipped: a batch too large for this device is too large for the test");
        return;
    }
    let (_root, images) = folder(12);
    let out = tempfile::tempdir().unwrap();
    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.kind = Some(Architecture::AlexnetSmall);
    config.network.width = 0.25;
    config.objective.clustering_mut().num_clusters = Some(2);
    config.training.epochs = 1;
    config.training.batch_size = too_many;
    config.set(&format!("objective.epochs_per_clustering={:?}", too_many as f64 / 12.0)).unwrap();
    config.training.feature_batch_size = 4;
    let error = Trainer::new(config, images, out.path().join("run"), &device).unwrap().run(&mut ());
    let error = error.map(|_| ()).unwrap_err();
    let TrainerError::Engine(EngineError::OutOfMemory { setting, asked, fits: Some(fits) }) = error else {
        panic!("{error}")
    };
    assert_eq!(setting, "training.batch_size");
    assert!(asked == too_many && fits <= too_many / 2 && fits >= too_many / 8, "{fits} of {asked}");
}

#[test]
fn a_precision_that_the_device_lacks_is_refused() {
    let Some(device) = gpu() else { return };
    let (_root, images) = folder(12);
    let out = tempfile::tempdir().unwrap();
    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.objective.clustering_mut().num_clusters = Some(2);
    config.network.precision = Precision::Bf16;
    let trainer = Trainer::new(config, images, out.path().join("run"), &device).map(|_| ());
    if Precision::Bf16.is_supported(&device) {
        trainer.unwrap();
    } else {
        assert!(trainer.unwrap_err().to_string().starts_with("network.precision"));
        assert!(!out.path().join("run").exists());
    }
}
