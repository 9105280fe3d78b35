//! A program of its own that uses the clustering crate alone: no images, no networks, about 85 packages.
//!
//! `cargo run --release --manifest-path examples/cluster-a-matrix/Cargo.toml [features.npy]`; without an
//! argument it makes 5,000 rows in 20 groups.
use std::error::Error;

use deepcluster_clustering::{
    ClusterModel, ClusteringAlgorithm, FeatureFile, KMeansConfig, Rows, WhiteningConfig,
};
use ndarray::Array2;

fn main() -> Result<(), Box<dyn Error>> {
    let rows: Box<dyn Rows> = match std::env::args_os().nth(1) {
        Some(path) => Box::new(FeatureFile::open(path)?),
        None => Box::new(Array2::from_shape_fn((5_000, 64), |(row, column)| {
            let bump = if column / 3 == row % 20 { 4.0 } else { 0.0 };
            bump + ((row * 31 + column * 17) % 101) as f32 / 101.0
        })),
    };
    let whitening = WhiteningConfig { num_components: 32, ..Default::default() }.fit(&*rows)?;
    let kmeans = KMeansConfig { num_clusters: 20, num_redos: 5, ..Default::default() }.init()?;
    let clustering = kmeans.cluster(&whitening.transform(&*rows)?, 7, &mut ())?;
    println!("sizes {:?}, inertia {:.1}", clustering.assignments.cluster_sizes(), clustering.inertia);

    let model = ClusterModel { whitening: Some(whitening), centroids: clustering.centroids };
    let (labels, _) = model.assign(&*rows)?;
    println!(
        "assigned again, {} of {} rows keep their cluster",
        agreeing(&labels, clustering.assignments.labels()),
        labels.len()
    );
    Ok(())
}

fn agreeing(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a == b).count()
}
