//! The available tasks.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use deepcluster_clustering::{
    FeatureFile, KMeansConfig, KMeansStart, Neighbors, PicConfig, Rows, ScanPrecision, WhiteningConfig,
    nearest_neighbors,
};
use deepcluster_evaluation::{NmiNorm, nmi};
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
    AssignFloat32 { features: PathBuf, centroids: PathBuf },
    /// Lloyd's iterations from given centroids and the pass after them, `out`: labels.
    #[serde(rename = "kmeans")]
    KMeans { features: PathBuf, centroids: PathBuf, iterations: usize },
    /// The same on features that stay in their file.
    #[serde(rename = "kmeans-file")]
    KMeansFile { features: PathBuf, centroids: PathBuf, iterations: usize },
    /// Fit of the whitening, `out`: the fitted features whitened, their rows not normalised.
    Whitening { features: PathBuf, components: usize },
    /// Graph of the nearest neighbours without the points themselves, `out`: their row numbers.
    Knn { features: PathBuf, neighbors: usize },
    /// Power Iteration Clustering of a given graph, `out`: labels.
    Pic { ids: PathBuf, squared_distances: PathBuf },
    /// Agreement of two labellings.
    Nmi { first: PathBuf, second: PathBuf },
    /// Rate of single-precision fused multiply-adds in registers, of all threads together.
    Peak { threads: usize },
}

/// Duration of a task, and values to compare besides the result.
pub struct Outcome {
    pub seconds: f64,
    pub check: Value,
}

impl Work {
    pub fn run(&self, arrays: &mut Arrays, out: &Path) -> Result<Outcome, Box<dyn Error>> {
        match self {
            Self::Assign { features, centroids } => {
                assign(arrays, features, centroids, ScanPrecision::Auto, out)
            }
            Self::AssignFloat32 { features, centroids } => {
                assign(arrays, features, centroids, ScanPrecision::F32, out)
            }
            Self::KMeans { features, centroids, iterations } => {
                let (features, centroids) = (arrays.floats(features)?, arrays.floats(centroids)?);
                let (features, centroids) = (matrix(&features)?, matrix(&centroids)?);
                kmeans(&features, centroids, *iterations, out)
            }
            Self::KMeansFile { features, centroids, iterations } => {
                let centroids = arrays.floats(centroids)?;
                kmeans(&FeatureFile::open(features)?, matrix(&centroids)?, *iterations, out)
            }
            Self::Whitening { features, components } => {
                let features = arrays.floats(features)?;
                let features = matrix(&features)?;
                let config = WhiteningConfig { num_components: *components, whiten: true, normalize: false };
                let start = Instant::now();
                let whitening = config.fit(&features)?;
                let seconds = start.elapsed().as_secs_f64();
                write_npy(out, &whitening.transform(&features)?)?;
                Ok(Outcome { seconds, check: json!({"components": whitening.num_components()}) })
            }
            Self::Knn { features, neighbors } => {
                let features = arrays.floats(features)?;
                let features = matrix(&features)?;
                let start = Instant::now();
                let neighbors = nearest_neighbors(features, features, *neighbors, true)?;
                let seconds = start.elapsed().as_secs_f64();
                write_npy(out, &neighbors.indices)?;
                let sum: f64 = neighbors.squared_distances.iter().map(|&distance| f64::from(distance)).sum();
                Ok(Outcome { seconds, check: json!({"objective": sum}) })
            }
            Self::Pic { ids, squared_distances } => {
                let (ids, distances) = (arrays.numbers(ids)?, arrays.floats(squared_distances)?);
                let graph = Neighbors {
                    indices: ids.view().into_dimensionality::<Ix2>()?.to_owned(),
                    squared_distances: matrix(&distances)?.to_owned(),
                };
                let start = Instant::now();
                let assignments = PicConfig::default().init()?.cluster_graph(&graph)?;
                let seconds = start.elapsed().as_secs_f64();
                write_npy(out, &ArrayView1::from(assignments.labels()))?;
                Ok(Outcome { seconds, check: json!({"clusters": assignments.num_clusters()}) })
            }
            Self::Nmi { first, second } => {
                let (first, second) = (arrays.numbers(first)?, arrays.numbers(second)?);
                let (first, second) = (labels(&first)?, labels(&second)?);
                let start = Instant::now();
                let nmi = nmi(first, second, NmiNorm::Arithmetic)?;
                let seconds = start.elapsed().as_secs_f64();
                Ok(Outcome { seconds, check: json!({"nmi": nmi}) })
            }
            Self::Peak { threads } => {
                let start = Instant::now();
                let gflops = peak_gflops(*threads);
                Ok(Outcome { seconds: start.elapsed().as_secs_f64(), check: json!({"gflops": gflops}) })
            }
        }
    }
}

fn assign(
    arrays: &mut Arrays,
    features: &Path,
    centroids: &Path,
    precision: ScanPrecision,
    out: &Path,
) -> Result<Outcome, Box<dyn Error>> {
    let (features, centroids) = (arrays.floats(features)?, arrays.floats(centroids)?);
    let (features, centroids) = (matrix(&features)?, matrix(&centroids)?);
    let start = Instant::now();
    let (labels, squared_distances) = deepcluster_clustering::assign(&features, centroids, precision)?;
    let seconds = start.elapsed().as_secs_f64();
    let objective: f64 = squared_distances.iter().map(|&distance| f64::from(distance)).sum();
    write_npy(out, &ArrayView1::from(&labels))?;
    Ok(Outcome { seconds, check: json!({"objective": objective}) })
}

fn kmeans(
    features: &dyn Rows,
    centroids: ArrayView2<'_, f32>,
    num_iterations: usize,
    out: &Path,
) -> Result<Outcome, Box<dyn Error>> {
    let config = KMeansConfig { num_clusters: centroids.nrows(), num_iterations, ..Default::default() };
    let start = Instant::now();
    let clustering = config.init()?.fit(features, None, KMeansStart::Centroids(centroids), &mut ())?;
    let seconds = start.elapsed().as_secs_f64();
    write_npy(out, &ArrayView1::from(clustering.assignments.labels()))?;
    let iterations = clustering.iterations.len();
    Ok(Outcome { seconds, check: json!({"objective": clustering.inertia, "iterations": iterations}) })
}

fn matrix(array: &ArrayD<f32>) -> Result<ArrayView2<'_, f32>, Box<dyn Error>> {
    Ok(array.view().into_dimensionality::<Ix2>()?)
}

fn labels(array: &ArrayD<u32>) -> Result<&[u32], Box<dyn Error>> {
    let labels = array.view().into_dimensionality::<Ix1>()?;
    Ok(labels.to_slice().ok_or("labels are contiguous")?)
}
