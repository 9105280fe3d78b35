//! A separate program that trains on a folder through the facade.
//!
//! `cargo run --release --manifest-path examples/use-as-dependency/Cargo.toml [FOLDER OUT]`; without
//! arguments it draws 600 images in the folder for temporary files.
use std::path::PathBuf;

use deepcluster::data::{SyntheticConfig, write_synthetic_folder};
use deepcluster::prelude::*;

fn main() -> Result<(), deepcluster::Error> {
    let base = std::env::temp_dir().join(format!("deepcluster-example-{}", std::process::id()));
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = match arguments.next() {
        Some(folder) => folder,
        None => {
            let drawings = SyntheticConfig { num_images: 600, image_size: 32, seed: 1 };
            write_synthetic_folder(&base.join("images"), &drawings, &mut |_| {})?;
            base.join("images")
        }
    };
    let out = arguments.next().unwrap_or_else(|| base.join("run"));
    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.width = 0.5;
    config.objective.clustering_mut().num_clusters = Some(30);
    config.training.epochs = 1;
    let model = deepcluster::train(&folder, &out, config, &mut ())?;
    println!("{} clusters, kept in {}", model.clusters().centroids.nrows(), out.display());
    Ok(())
}
