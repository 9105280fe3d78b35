//! linfa-clustering, from the given centroids. It makes no pass after the last iteration.

use std::error::Error;
use std::time::Instant;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use linfa_nn::distance::L2Dist;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rust_crates::Work;

fn main() -> Result<(), Box<dyn Error>> {
    let work = Work::from_arguments()?;
    let dataset = DatasetBase::from(work.features.view());
    let start = Instant::now();
    let model = KMeans::params_with(work.centroids.nrows(), StdRng::seed_from_u64(1), L2Dist)
        .init_method(KMeansInit::Precomputed(work.centroids.clone()))
        .n_runs(1)
        .max_n_iterations(work.iterations as u64)
        .tolerance(f32::MIN_POSITIVE)
        .fit(&dataset)?;
    let seconds = start.elapsed().as_secs_f64();
    work.report("linfa-clustering 0.8.1", seconds, work.iterations, model.centroids());
    Ok(())
}
