//! The side of this project in `gpu.py`: answers each line of stdin, a request in JSON, with a line of JSON.
#![allow(clippy::print_stdout, reason = "it answers on stdout")]

use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use deepcluster::clustering::{
    ClusteringAlgorithm, DeviceRows, FeatureType, KMeansConfig, KMeansStart, WhiteningConfig,
};
use deepcluster::engine::features::{DeviceFeatures, Room};
use deepcluster::engine::{Learner, Ranks, Sgd, available_devices, host_values, parse_device};
use deepcluster::models::{Architecture, Backbone, ConvNet, ConvNetConfig, Head, Pass, Precision};
use deepcluster::trainer::Classifier;
use ndarray::{Array2, s};
use serde_json::{Value, json};

/// Rows that are sent to the device at a time.
const ROWS_PER_BATCH: usize = 1 << 16;

/// A network in training, and a batch.
struct Training {
    learner: Learner<Classifier<ConvNet>>,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
}

impl Training {
    fn new(request: &Value, device: &Device) -> Result<Self, Box<dyn Error>> {
        let number = |name: &str| number(request, name);
        let (batch, size, num_clusters) = (number("batch")?, number("size")?, number("clusters")?);
        let architecture: Architecture = serde_json::from_value(request["architecture"].clone())?;
        let precision: Precision = serde_json::from_value(request["precision"].clone())?;
        if !precision.is_supported(device) {
            return Err(format!("{device:?} does not compute with {precision:?}").into());
        }
        let device = device.clone().autodiff();
        let network = ConvNetConfig::new(architecture, size, true, 1.0)?.init(1, &device)?;
        let targets: Vec<i64> = (0..batch).map(|index| (index % num_clusters) as i64).collect();
        let head = Head::new(network.feature_dim(), num_clusters, 2, &device);
        let (network_sgd, head_sgd) = (Sgd::new(0.05, 0.9, 1e-5), Sgd::new(0.05, 0.0, 1e-5));
        let network = network.with_precision(precision);
        Ok(Self {
            learner: Classifier::learner(network, Some(head), network_sgd, head_sgd),
            images: Tensor::random([batch, 3, size, size], Distribution::Normal(0.0, 1.0), &device),
            targets: Tensor::from_data(TensorData::new(targets, [batch]), &device),
        })
    }

    /// Steps whose losses are read at the end; returns the last.
    fn steps(&mut self, repeats: usize) -> Result<f64, Box<dyn Error>> {
        let Self { learner, images, targets } = self;
        let mut last = None;
        for seed in 0..repeats {
            let dropout = Pass::training(seed as u64);
            let (images, targets) = (images.clone(), targets.clone());
            let losses = learner.model.losses(images, targets, &dropout).ok_or("there is no head")?;
            last = Some(learner.step(losses, &Ranks::single())?);
        }
        let loss = last.ok_or("at least one step is needed")?.read()?;
        // The weights of the last step are computed after its loss.
        self.images.device().sync()?;
        Ok(loss)
    }

    fn features(&self, repeats: usize) -> Result<f32, Box<dyn Error>> {
        let network = self.learner.model.network.valid();
        let images = self.images.clone().without_autodiff();
        let mut mean = 0.0;
        for repeat in 0..repeats {
            let features = network.features(images.clone(), &Pass::inference()).mean();
            if repeat + 1 == repeats {
                mean = host_values(features, "while computing features")?[0];
            }
        }
        Ok(mean)
    }
}

fn number(request: &Value, name: &str) -> Result<usize, Box<dyn Error>> {
    Ok(request[name].as_u64().ok_or(format!("{name} is missing"))? as usize)
}

/// Rows of a file of `f32`, `[rows, dim]`, on the device.
fn read_rows(request: &Value, device: &Device) -> Result<(Array2<f32>, DeviceFeatures), Box<dyn Error>> {
    let path = request["file"].as_str().ok_or("file is missing")?;
    let dim = number(request, "dim")?;
    let values: Vec<f32> =
        std::fs::read(path)?.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let rows = Array2::from_shape_vec((values.len() / dim, dim), values)?;
    let mut features = DeviceFeatures::new(device, dim, FeatureType::F32, Room::on(device));
    for first in (0..rows.nrows()).step_by(ROWS_PER_BATCH) {
        let part = rows.slice(s![first..rows.nrows().min(first + ROWS_PER_BATCH), ..]);
        let data = TensorData::new(part.iter().copied().collect::<Vec<f32>>(), [part.nrows(), dim]);
        features.append(Tensor::from_data(data, device))?;
    }
    Ok((rows, features.finish()?))
}

/// k-means from the first rows, and whether the host finds the same.
fn kmeans(request: &Value, rows: &Array2<f32>, features: &DeviceFeatures) -> Result<Value, Box<dyn Error>> {
    let (num_clusters, num_iterations) = (number(request, "clusters")?, number(request, "iterations")?);
    let kmeans = KMeansConfig { num_clusters, num_iterations, ..KMeansConfig::default() }.init()?;
    let initial = rows.slice(s![..num_clusters, ..]);
    let start = Instant::now();
    let found = kmeans.fit(features, None, KMeansStart::Centroids(initial), &mut ())?;
    let seconds = start.elapsed().as_secs_f64();
    let mut answer =
        json!({"work_seconds": seconds, "inertia": found.inertia, "iterations": found.iterations.len()});
    if request["compare"].as_bool() == Some(true) {
        let host_result = kmeans.fit(rows, None, KMeansStart::Centroids(initial), &mut ())?;
        answer["same_labels"] = (host_result.assignments == found.assignments).into();
        answer["same_centroids"] = (host_result.centroids == found.centroids).into();
    }
    Ok(answer)
}

/// Whitening and clustering of rows on the device beside those of the host.
fn parity(rows: &Array2<f32>, features: &DeviceFeatures) -> Result<Value, Box<dyn Error>> {
    let config = WhiteningConfig { num_components: 64.min(rows.ncols()), ..WhiteningConfig::default() };
    let on_device = features.whitened(&config.fit(features)?)?;
    let host_result = config.fit(rows)?.transform(rows)?;
    let whitened = on_device.to_host()?;
    let difference = (&whitened - &host_result).fold(0.0_f32, |most, value| most.max(value.abs()));
    let kmeans = KMeansConfig { num_clusters: 100.min(rows.nrows()), ..KMeansConfig::default() }.init()?;
    let found = kmeans.cluster(&on_device, 1, &mut ())?;
    let expected = kmeans.cluster(&whitened, 1, &mut ())?;
    Ok(json!({
        "largest_difference_of_whitened_rows": difference,
        "same_labels": found.assignments == expected.assignments,
        "same_centroids": found.centroids == expected.centroids,
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = parse_device(&std::env::args().nth(1).unwrap_or("auto".to_string()))?;
    let mut training = None;
    let mut rows = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let repeats = request["repeats"].as_u64().unwrap_or(1) as usize;
        let key = request["key"].as_str().ok_or("key is missing")?;
        let start = Instant::now();
        let mut answer = json!({});
        match (key, &mut training, &rows) {
            ("devices", ..) => {
                let names =
                    available_devices().into_iter().map(|info| format!("{} {}", info.name, info.description));
                answer["devices"] = names.collect::<Vec<String>>().into();
            }
            ("setup", ..) => training = Some(Training::new(&request, &device)?),
            ("train", Some(training), _) => answer["loss"] = training.steps(repeats)?.into(),
            ("features", Some(training), _) => answer["mean"] = training.features(repeats)?.into(),
            ("rows", ..) => {
                training = None;
                rows = Some(read_rows(&request, &device)?);
            }
            ("kmeans", _, Some((rows, features))) => answer = kmeans(&request, rows, features)?,
            ("parity", _, Some((rows, features))) => answer = parity(rows, features)?,
            _ => return Err(format!("{key} is not known, or asked for too early").into()),
        }
        answer["seconds"] = start.elapsed().as_secs_f64().into();
        println!("{answer}");
    }
    Ok(())
}
