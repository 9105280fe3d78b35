//! Trains on a folder of images through the facade and assigns new images.
//!
//! `cargo run --release --example train_folder [FOLDER OUT]`, half a minute on 2 cores without arguments: it
//! then draws 600 images. Expect the clusters of twelve images at the end.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::path::PathBuf;
use std::sync::Arc;

use deepcluster::data::{SyntheticConfig, write_synthetic_folder};
use deepcluster::prelude::*;

/// Prints every epoch.
struct Print;

impl Observer for Print {
    fn event(&mut self, _event: &Event) {}
}

impl TrainObserver for Print {
    fn epoch_finished(&mut self, metrics: &EpochMetrics, _timings: &EpochTimings) {
        println!(
            "epoch {}: loss {:?}, NMI to previous {:?}",
            metrics.epoch, metrics.loss, metrics.nmi_to_previous
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = match arguments.next() {
        Some(folder) => folder,
        None => {
            let drawings = SyntheticConfig { num_images: 600, image_size: 32, seed: 1 };
            write_synthetic_folder(temporary.path(), &drawings, &mut |_| {})?;
            temporary.path().to_path_buf()
        }
    };
    let out = arguments.next().unwrap_or_else(|| temporary.path().join("run"));

    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.width = 0.5;
    config.objective.clustering_mut().num_clusters = Some(30);
    config.training.epochs = 2;
    config.training.batch_size = 64;
    let model = deepcluster::train(&folder, &out, config, &mut Print)?;

    let images = Arc::new(Images::open(&folder)?);
    let assigned = model.assign(&images, &mut ())?;
    for (&image, cluster) in assigned.image_indices.iter().zip(&assigned.clusters).take(12) {
        println!("{} is in cluster {cluster}", images.name(image));
    }
    Ok(())
}
