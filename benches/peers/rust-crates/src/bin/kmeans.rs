//! The crate `kmeans`, from the given centroids; needs a nightly compiler.

use std::error::Error;
use std::time::Instant;

use kmeans::{EuclideanDistance, KMeans, KMeansConfig};
use ndarray::Array2;
use rust_crates::Work;

const LANES: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let work = Work::from_arguments()?;
    let (num_clusters, dim) = work.centroids.dim();
    let features = work.features.as_slice().ok_or("features are contiguous")?;
    let centroids = work.centroids.iter().copied().collect::<Vec<_>>();
    let start = Instant::now();
    let model: KMeans<f32, LANES, _> = KMeans::new(features, work.features.nrows(), dim, EuclideanDistance);
    let state = model.kmeans_lloyd(
        num_clusters,
        work.iterations,
        KMeans::<f32, LANES, EuclideanDistance>::init_precomputed(centroids),
        &KMeansConfig::default(),
    );
    let seconds = start.elapsed().as_secs_f64();
    let centroids = Array2::from_shape_vec((num_clusters, dim), state.centroids.to_vec())?;
    work.report("kmeans 2.0.2", seconds, work.iterations, &centroids);
    Ok(())
}
