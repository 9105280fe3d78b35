//! Measures what a network has learned, beside the untrained one: nearest neighbours, linear classifiers,
//! recall.
//!
//! `cargo run --release --example measure_features`, about a minute on 2 cores. Expect a line for each
//! network and measure.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use deepcluster::data::{LabelSource, SyntheticConfig, write_synthetic_folder};
use deepcluster::evaluation::WeightedKnnConfig;
use deepcluster::prelude::*;
use deepcluster::trainer::{RunDirectory, TrainedNetwork};
use deepcluster::transfer::{
    LabelledPair, LinearProbe, LinearProbeConfig, RetrievalConfig, knn_on_layers, recall_at,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    for (name, num_images, seed) in [("train", 600, 1), ("test", 200, 2)] {
        let drawings = SyntheticConfig { num_images, image_size: 32, seed };
        write_synthetic_folder(&path(name), &drawings, &mut |_| {})?;
    }
    let device = Device::default();
    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.width = 0.25;
    config.objective.clustering_mut().num_clusters = Some(60);
    config.training.epochs = 3;
    config.training.batch_size = 32;
    Trainer::new(config.clone(), Images::open(path("train"))?, path("run"), &device)?.run(&mut ())?;

    let data = LabelledPair::scan(&path("train"), &path("test"), &LabelSource::Auto)?;
    let untrained = TrainedNetwork::untrained(config, &device)?;
    let trained = TrainedNetwork::load(&RunDirectory::open(&path("run"))?, &device)?;
    for (name, trained) in [("untrained", &untrained), ("trained", &trained)] {
        let (network, reading) = (trained.network(), trained.reading());
        let neighbors = WeightedKnnConfig { num_neighbors: vec![20], ..Default::default() };
        for layer in knn_on_layers(network, &reading, &device, &data, &[], &neighbors, &mut ())? {
            let accuracy = 100.0 * layer.accuracies[0].top1;
            println!("{name:>9}  nearest neighbours on {:<5}  {accuracy:5.1} %", layer.layer);
        }
        let probe = LinearProbeConfig { epochs: 5, batch_size: 50, ..Default::default() };
        for curve in LinearProbe::new(network, &reading, &device, &data, probe)?.run(None, &mut ())? {
            let accuracy = 100.0 * curve.best().map_or(0.0, |epoch| epoch.top1);
            println!("{name:>9}  linear classifier on {:<6}  {accuracy:5.1} %", curve.layer);
        }
        let retrieval = RetrievalConfig { long_side: 32, ..Default::default() };
        let found = recall_at(
            &trained.convnet("retrieval")?,
            &data.test,
            &data.train.images,
            &[1, 4],
            &retrieval,
            None,
            &mut (),
        )?;
        for (k, recall) in found.recalls {
            println!("{name:>9}  recall@{k}  {:24.1} %", 100.0 * recall);
        }
    }
    Ok(())
}
