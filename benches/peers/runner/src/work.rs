//! The works that can be asked for.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use deepcluster_clustering::{KMeansConfig, NmiNorm, WhiteningConfig, assign, nearest_neighbors, nmi};
use ndarray::{ArrayD, ArrayView1, ArrayView2, Ix1, Ix2};
use ndarray_npy::write_npy;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arrays::Arrays;
use crate::peak::peak_gflops;

#[derive(Deserialize)]
pub struct Request {
    /// Returned with the answer.
    pub key: String,
    /// `.npy` file for the result that the other side compares with its own.
    #[serde(default)]
    pub out: PathBuf,
    #[serde(flatten)]
    pub work: Work,
}

/// The paths are `.npy` files.
#[derive(Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case")]
pub enum Work {
    /// One assignment pass, `out`: labels.
    Assign { features: PathBuf, centroids: PathBuf },
    /// One assignment pass with the single-precision kernel only, `out`: labels.
    #[serde(rename = "assign-f32")]
    AssignFloat32 {},
    /// Lloyd's iterations from given centroids and the pass after them, `out`: labels.
    #[serde(rename = "kmeans")]
    KMeans { features: PathBuf, centroids: PathBuf, iterations: usize },
    /// The same on features that stay in their file.
    #[serde(rename = "kmeans-file")]
    KMeansFile {},
    /// Fit of the whitening, `out`: the fitted features whitened, their rows not normalised.
    Whitening { features: PathBuf, components: usize },
    /// Graph of the nearest neighbours without the points themselves, `out`: their row numbers.
    Knn { features: PathBuf, neighbors: usize },
    /// Power Iteration Clustering of a given graph, `out`: labels.
    Pic {},
    /// Agreement of two labellings.
    Nmi { first: PathBuf, second: PathBuf },
    /// Rate of single-precision fused multiply-adds in registers, of all threads together.
    Peak { threads: usize },
}

pub enum Outcome {
    Done { seconds: f64, check: Value },
    NotYet(&'static str),
}

impl Work {
    pub fn run(&self, arrays: &mut Arrays, out: &Path) -> Result<Outcome, Box<dyn Error>> {
        match self {
            Self::Assign { features, centroids } => {
                let (features, centroids) = (arrays.floats(features)?, arrays.floats(centroids)?);
                let (features, centroids) = (matrix(&features)?, matrix(&centroids)?);
                let start = Instant::now();
                let (labels, squared_distances) = assign(features, centroids)?;
                let seconds = start.elapsed().as_secs_f64();
                let objective: f64 = squared_distances.iter().map(|&distance| f64::from(distance)).sum();
                write_npy(out, &ArrayView1::from(&labels))?;
                Ok(Outcome::Done { seconds, check: json!({"objective": objective}) })
            }
            Self::AssignFloat32 {} => Ok(Outcome::NotYet("an assignment pass without the integer scan")),
            Self::KMeans { features, centroids, iterations } => {
                let (features, centroids) = (arrays.floats(features)?, arrays.floats(centroids)?);
                let (features, centroids) = (matrix(&features)?, matrix(&centroids)?);
                let config = KMeansConfig {
                    num_clusters: centroids.nrows(),
                    num_iterations: *iterations,
                    ..Default::default()
                };
                let start = Instant::now();
                let clustering = config.init()?.fit_from(features, centroids, &mut ())?;
                let seconds = start.elapsed().as_secs_f64();
                write_npy(out, &ArrayView1::from(clustering.assignments.labels()))?;
                let iterations = clustering.iterations.len();
                let check = json!({"objective": clustering.inertia, "iterations": iterations});
                Ok(Outcome::Done { seconds, check })
            }
            Self::KMeansFile {} => Ok(Outcome::NotYet("k-means on features that stay in their file")),
            Self::Whitening { features, components } => {
                let features = arrays.floats(features)?;
                let features = matrix(&features)?;
                let config = WhiteningConfig { num_components: *components, whiten: true, normalize: false };
                let start = Instant::now();
                let whitening = config.fit(features)?;
                let seconds = start.elapsed().as_secs_f64();
                write_npy(out, &whitening.transform(features)?)?;
                Ok(Outcome::Done { seconds, check: json!({"components": whitening.num_components()}) })
            }
            Self::Knn { features, neighbors } => {
                let features = arrays.floats(features)?;
                let features = matrix(&features)?;
                let start = Instant::now();
                let neighbors = nearest_neighbors(features, features, *neighbors, true)?;
                let seconds = start.elapsed().as_secs_f64();
                write_npy(out, &neighbors.indices)?;
                let sum: f64 = neighbors.squared_distances.iter().map(|&distance| f64::from(distance)).sum();
                Ok(Outcome::Done { seconds, check: json!({"objective": sum}) })
            }
            Self::Pic {} => Ok(Outcome::NotYet("Power Iteration Clustering of a given graph")),
            Self::Nmi { first, second } => {
                let (first, second) = (arrays.numbers(first)?, arrays.numbers(second)?);
                let (first, second) = (labels(&first)?, labels(&second)?);
                let start = Instant::now();
                let nmi = nmi(first, second, NmiNorm::Arithmetic)?;
                let seconds = start.elapsed().as_secs_f64();
                Ok(Outcome::Done { seconds, check: json!({"nmi": nmi}) })
            }
            Self::Peak { threads } => {
                let start = Instant::now();
                let gflops = peak_gflops(*threads);
                Ok(Outcome::Done { seconds: start.elapsed().as_secs_f64(), check: json!({"gflops": gflops}) })
            }
        }
    }
}

fn matrix(array: &ArrayD<f32>) -> Result<ArrayView2<'_, f32>, Box<dyn Error>> {
    Ok(array.view().into_dimensionality::<Ix2>()?)
}

fn labels(array: &ArrayD<u32>) -> Result<&[u32], Box<dyn Error>> {
    let labels = array.view().into_dimensionality::<Ix1>()?;
    Ok(labels.to_slice().ok_or("labels are contiguous")?)
}
