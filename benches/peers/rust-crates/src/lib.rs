//! Shared code of the programs: their arguments, `FEATURES.npy CENTROIDS.npy ITERATIONS THREADS`, and the
//! JSON line they print.

use std::error::Error;

use ndarray::{Array2, Axis};
use ndarray_npy::read_npy;
use rayon::prelude::*;
use serde_json::json;

pub struct Work {
    pub features: Array2<f32>,
    pub centroids: Array2<f32>,
    pub iterations: usize,
}

impl Work {
    pub fn from_arguments() -> Result<Self, Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [features, centroids, iterations, threads] = arguments.as_slice() else {
            return Err("usage: FEATURES.npy CENTROIDS.npy ITERATIONS THREADS".into());
        };
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
        Ok(Self {
            features: read_npy(features)?,
            centroids: read_npy(centroids)?,
            iterations: iterations.parse()?,
        })
    }

    /// Prints the time of `passes` assignment passes and what the `centroids` they led to are worth.
    pub fn report(&self, crate_name: &str, seconds: f64, passes: usize, centroids: &Array2<f32>) {
        let objective: f64 = self
            .features
            .axis_iter(Axis(0))
            .into_par_iter()
            .map(|row| {
                let nearest = centroids
                    .axis_iter(Axis(0))
                    .map(|centroid| row.iter().zip(centroid).map(|(a, b)| (a - b) * (a - b)).sum::<f32>());
                f64::from(nearest.fold(f32::INFINITY, f32::min))
            })
            .sum();
        println!(
            "{}",
            json!({"crate": crate_name, "seconds": seconds, "passes": passes, "objective": objective})
        );
    }
}
