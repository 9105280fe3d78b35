//! Measures the throughput of random crops of 224 pixels from a folder, in images a second, reading every
//! image twice.
//!
//! ```text
//! cargo run --release -p deepcluster-data --example loader_throughput -- \
//!     FOLDER [NUM_WORKERS] [CACHE_MIB] [DISK_CACHE]
//! ```
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use deepcluster_data::{DiskCacheConfig, Images, Loader, LoaderConfig, Normalization, Sample, Transform};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().ok_or("usage: loader_throughput FOLDER [NUM_WORKERS] [CACHE_MIB] [DISK_CACHE]")?;
    let num_workers = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let cache_mib: u64 = arguments.next().map_or(Ok(0), |text| text.parse())?;

    let disk_cache =
        arguments.next().map(|folder| DiskCacheConfig { folder: folder.into(), max_bytes: 10 << 30 });

    let start = Instant::now();
    let images = Arc::new(Images::open(&folder)?);
    println!("found {} images in {:.2} s", images.len(), start.elapsed().as_secs_f64());

    let cache_bytes = cache_mib << 20;
    let config = LoaderConfig { num_workers, cache_bytes, disk_cache, ..LoaderConfig::default() };
    let loader = Loader::new(images.clone(), config)?;
    let transform = Transform::RandomCrop {
        size: 224,
        scale: (0.08, 1.0),
        ratio: (3.0 / 4.0, 4.0 / 3.0),
        flip_probability: 0.5,
        normalization: Normalization::default(),
    };
    for pass in 1..=2 {
        let sample = |image_index| Sample { image_index, augmentation_seed: image_index as u64, crop: 0 };
        let samples: Vec<Sample> = (0..images.len()).map(sample).collect();
        let plan = samples.chunks(32).map(<[Sample]>::to_vec).collect();
        let start = Instant::now();
        let num_read: usize = loader.batches(transform, plan).map(|batch| batch.image_indices.len()).sum();
        let seconds = start.elapsed().as_secs_f64();
        println!("pass {pass}: {num_read} images, {:.0} images/s", num_read as f64 / seconds);
    }
    Ok(())
}
