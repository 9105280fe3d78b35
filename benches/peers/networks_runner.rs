//! The side of this project in `networks.py`: answers each line of stdin, a request in JSON, with a line of
//! JSON.
#![allow(clippy::print_stdout, reason = "it answers on stdout")]

use std::error::Error;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use deepcluster::data::{Images, Loader, LoaderConfig, Normalization, Sample, Transform};
use deepcluster::models::{Architecture, Backbone, ConvNet, ConvNetConfig, Head, Pass};
use deepcluster::trainer::{Sgd, parse_device, training_step};
use serde_json::{Value, json};

/// A network in training, and a batch.
struct Training {
    network: ConvNet,
    head: Head,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    network_sgd: Sgd,
    head_sgd: Sgd,
}

impl Training {
    fn new(request: &Value, device: &Device) -> Result<Self, Box<dyn Error>> {
        let number =
            |name: &str| request[name].as_u64().ok_or(format!("{name} is missing")).map(|n| n as usize);
        let (batch, size, num_clusters) = (number("batch")?, number("size")?, number("clusters")?);
        let architecture: Architecture = serde_json::from_value(request["architecture"].clone())?;
        let device = device.clone().autodiff();
        let network = ConvNetConfig::new(architecture, size, true, 1.0)?.init(1, &device)?;
        let targets: Vec<i64> = (0..batch).map(|index| (index % num_clusters) as i64).collect();
        Ok(Self {
            head: Head::new(network.feature_dim(), num_clusters, 2, &device),
            network,
            images: Tensor::random([batch, 3, size, size], Distribution::Normal(0.0, 1.0), &device),
            targets: Tensor::from_data(TensorData::new(targets, [batch]), &device),
            network_sgd: Sgd::new(0.05, 0.9, 1e-5),
            head_sgd: Sgd::new(0.05, 0.0, 1e-5),
        })
    }

    fn step(&mut self, seed: u64) -> Result<f64, Box<dyn Error>> {
        let Self { network, head, images, targets, network_sgd, head_sgd } = self;
        let dropout = Pass::training(seed);
        Ok(training_step(network, head, images.clone(), targets.clone(), &dropout, network_sgd, head_sgd)?)
    }
}

/// Reads random crops of all images of a folder.
fn load(request: &Value) -> Result<usize, Box<dyn Error>> {
    let folder = request["folder"].as_str().ok_or("folder is missing")?;
    let size = request["size"].as_u64().ok_or("size is missing")? as u32;
    let workers = request["workers"].as_u64().ok_or("workers is missing")? as usize;
    let images = Arc::new(Images::open(folder)?);
    let samples: Vec<Sample> = (0..images.len())
        .map(|image_index| Sample { image_index, augmentation_seed: image_index as u64, crop: 0 })
        .collect();
    let config = LoaderConfig { num_workers: workers, cache_bytes: 0, ..LoaderConfig::default() };
    let transform = Transform::RandomCrop {
        size,
        scale: (0.08, 1.0),
        ratio: (3.0 / 4.0, 4.0 / 3.0),
        flip_probability: 0.5,
        normalization: Normalization::default(),
    };
    let plan = samples.chunks(32).map(<[Sample]>::to_vec).collect();
    Ok(Loader::new(images, config)?.batches(transform, plan).map(|batch| batch.image_indices.len()).sum())
}

fn main() -> Result<(), Box<dyn Error>> {
    deepcluster::keep_freed_memory();
    let device = parse_device("auto")?;
    let mut training = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let repeats = request["repeats"].as_u64().unwrap_or(1);
        let key = request["key"].as_str().ok_or("key is missing")?;
        let mut answer = json!({});
        let start = Instant::now();
        match (key, &mut training) {
            ("setup", _) => training = Some(Training::new(&request, &device)?),
            ("train", Some(training)) => {
                for seed in 0..repeats {
                    answer["loss"] = training.step(seed)?.into();
                }
            }
            ("features", Some(training)) => {
                let network = training.network.valid();
                let images = training.images.clone().without_autodiff();
                for _ in 0..repeats {
                    let features = network.features(images.clone(), &Pass::inference());
                    answer["mean"] = features.mean().try_into_scalar::<f32>()?.into();
                }
            }
            ("load", _) => answer["images"] = load(&request)?.into(),
            _ => return Err(format!("{key} is not known, or asked for before setup").into()),
        }
        answer["seconds"] = start.elapsed().as_secs_f64().into();
        println!("{answer}");
    }
    Ok(())
}
