//! fastkmeans-rs, from its own random rows: it does not accept initial centroids.

use std::error::Error;
use std::time::Instant;

use fastkmeans_rs::{FastKMeans, KMeansConfig};
use rust_crates::Work;

fn main() -> Result<(), Box<dyn Error>> {
    let work = Work::from_arguments()?;
    let config = KMeansConfig::new(work.centroids.nrows())
        .with_max_iters(work.iterations)
        .with_tol(-1.0)
        .with_max_points_per_centroid(None);
    let start = Instant::now();
    let mut model = FastKMeans::with_config(config);
    model.fit_predict(&work.features.view())?;
    let seconds = start.elapsed().as_secs_f64();
    let centroids = model.centroids().ok_or("a fitted model has centroids")?;
    work.report("fastkmeans-rs 1.0.8", seconds, work.iterations + 1, centroids);
    Ok(())
}
