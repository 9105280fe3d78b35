//! Rows on a device are clustered as on the host, bit by bit, however badly the device computes within its
//! bounds.

#![allow(clippy::unwrap_used, reason = "tests")]

use deepcluster_clustering::{
    ClusteringAlgorithm, ClusteringConfig, ClusteringError, DeviceRows, Initialization, KMeansConfig,
    KMeansStart, LinCohenPicConfig, Moments, PicConfig, Place, Rows, ScoreLists, ScoredRows, WhiteningConfig,
};
use ndarray::{Array2, array};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A device that adds to each score an error as large as it may be.
struct Sloppy {
    rows: Array2<f32>,
    relative_error: f64,
}

impl Sloppy {
    fn new(rows: Array2<f32>, relative_error: f64) -> Self {
        Self { rows, relative_error }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

impl Rows for Sloppy {
    fn place(&self) -> Place<'_> {
        Place::Device(self)
    }
}

impl DeviceRows for Sloppy {
    fn num_rows(&self) -> usize {
        self.rows.nrows()
    }

    fn feature_dim(&self) -> usize {
        self.rows.ncols()
    }

    fn to_host(&self) -> Result<Array2<f32>, ClusteringError> {
        Ok(self.rows.clone())
    }

    fn gather(&self, rows: &[u32]) -> Result<Vec<f32>, ClusteringError> {
        Ok(rows.iter().flat_map(|&row| self.rows.row(row as usize).to_vec()).collect())
    }

    fn squared_norms(&self) -> Result<Vec<f32>, ClusteringError> {
        Ok(self.rows.outer_iter().map(|row| row.iter().map(|value| value * value).sum()).collect())
    }

    fn column_maxima(&self) -> Result<Vec<f32>, ClusteringError> {
        let columns = self.rows.columns();
        Ok(columns
            .into_iter()
            .map(|column| column.fold(0.0, |most: f32, value| most.max(value.abs())))
            .collect())
    }

    fn moments(&self) -> Result<Moments, ClusteringError> {
        let values = self.rows.mapv(f64::from);
        let mean = values.mean_axis(ndarray::Axis(0)).unwrap();
        let centred = &values - &mean;
        let covariance = centred.t().dot(&centred) / values.nrows() as f64;
        Ok(Moments { mean: mean.to_vec(), covariance: covariance.iter().copied().collect() })
    }

    fn longest_list(&self) -> usize {
        8
    }

    fn lowest_scores(&self, database: ScoredRows<'_>, count: usize) -> Result<ScoreLists, ClusteringError> {
        let own = self.rows.as_slice().unwrap();
        let database = match database {
            ScoredRows::Given(rows) => rows,
            ScoredRows::Own => own,
        };
        let (mut indices, mut scores) = (Vec::new(), Vec::new());
        let mut errors = ChaCha8Rng::seed_from_u64(1);
        let dim = self.rows.ncols();
        for row in own.chunks_exact(dim) {
            let mut list: Vec<(f32, u32)> = (0..)
                .zip(database.chunks_exact(dim))
                .map(|(index, entry)| {
                    let squared = dot(entry, entry);
                    let bound = self.relative_error * ((dot(row, row) * squared).sqrt() + squared);
                    let sign = if errors.random_bool(0.5) { 0.99 } else { -0.99 };
                    ((squared / 2.0 - dot(row, entry) + sign * bound) as f32, index)
                })
                .collect();
            list.sort_by(|a, b| a.0.total_cmp(&b.0));
            list.resize(count.max(list.len()), (f32::MAX, 0));
            indices.extend(list[..count].iter().map(|entry| entry.1));
            scores.extend(list[..count].iter().map(|entry| entry.0));
        }
        Ok(ScoreLists { count, indices, scores, relative_error: self.relative_error })
    }

    fn cluster_sums(
        &self,
        labels: &[u32],
        num_clusters: usize,
        exponents: &[i32],
        bits: u32,
    ) -> Result<Vec<i64>, ClusteringError> {
        let mut sums = vec![0; num_clusters * exponents.len()];
        for (row, &label) in self.rows.outer_iter().zip(labels) {
            let sums = &mut sums[label as usize * exponents.len()..][..exponents.len()];
            for ((sum, &value), &exponent) in sums.iter_mut().zip(row).zip(exponents) {
                let value = (f64::from(value) * f64::from(exponent).exp2()).round_ties_even();
                assert!(value.abs() <= f64::from(bits).exp2(), "{value} has more than {bits} bits");
                *sum += value as i64;
            }
        }
        Ok(sums)
    }

    fn squared_distances(&self, labels: &[u32], centroids: &[f32]) -> Result<Vec<f32>, ClusteringError> {
        let dim = self.rows.ncols();
        let distance = |(row, &label): (&[f32], &u32)| {
            let centroid = &centroids[label as usize * dim..][..dim];
            row.iter().zip(centroid).map(|(x, c)| (f64::from(*x) - f64::from(*c)).powi(2)).sum::<f64>() as f32
        };
        Ok(self.rows.as_slice().unwrap().chunks_exact(dim).zip(labels).map(distance).collect())
    }
}

fn normal(num_rows: usize, dim: usize, seed: u64) -> Array2<f32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((num_rows, dim), || StandardNormal.sample(&mut generator))
}

/// Rows of many kinds: scattered, near each other, equal, far from the origin.
fn kinds() -> Vec<Array2<f32>> {
    let mut duplicates = normal(300, 6, 2);
    for row in 0..300 {
        duplicates.row_mut(row).fill((row % 5) as f32);
    }
    let groups = Array2::from_shape_fn((300, 6), |(row, column)| ((row % 12) * (column + 1)) as f32);
    let groups = groups + normal(300, 6, 3) * 0.01;
    vec![
        normal(300, 6, 1),
        duplicates,
        groups,
        normal(300, 6, 4) + 100.0,
        Array2::zeros((300, 6)),
        normal(40, 1, 5),
    ]
}

#[test]
fn kmeans_has_the_labels_and_centroids_of_the_host() {
    for rows in kinds() {
        for relative_error in [0.0, 1e-5, 1e-2] {
            let device = Sloppy::new(rows.clone(), relative_error);
            for config in [
                KMeansConfig { num_clusters: 12, ..Default::default() },
                KMeansConfig { num_clusters: 2, num_redos: 3, ..Default::default() },
                KMeansConfig { num_clusters: 12, spherical: true, tolerance: 1e-3, ..Default::default() },
                KMeansConfig {
                    num_clusters: 12,
                    initialization: Initialization::KMeansPlusPlus,
                    ..Default::default()
                },
                KMeansConfig { num_clusters: 8, max_samples_per_cluster: Some(4), ..Default::default() },
            ] {
                let kmeans = config.init().unwrap();
                let on_host = kmeans.cluster(&rows, 5, &mut ()).unwrap();
                let on_device = kmeans.cluster(&device, 5, &mut ()).unwrap();
                assert_eq!(on_device.assignments, on_host.assignments);
                assert_eq!(on_device.centroids, on_host.centroids);
                assert_eq!(on_device.squared_distances, on_host.squared_distances);
            }
        }
    }
}

#[test]
fn other_algorithms_find_what_they_find_on_the_host() {
    let configs = [
        ClusteringConfig::Pic(PicConfig::default()),
        ClusteringConfig::Pic(PicConfig { num_neighbors: 7, ..Default::default() }),
        ClusteringConfig::LinCohenPic(LinCohenPicConfig { num_clusters: 4, ..Default::default() }),
        ClusteringConfig::KMeans(KMeansConfig {
            num_clusters: 4,
            variant: deepcluster_clustering::KMeansVariant::MiniBatch,
            ..Default::default()
        }),
    ];
    for rows in kinds() {
        for config in &configs {
            let algorithm = config.init().unwrap();
            let on_host = algorithm.cluster(&rows, 5, &mut ());
            let on_device = algorithm.cluster(&Sloppy::new(rows.clone(), 1e-4), 5, &mut ());
            match (on_host, on_device) {
                (Ok(on_host), Ok(on_device)) => {
                    assert_eq!(on_device.assignments, on_host.assignments);
                    assert_eq!(on_device.centroids, on_host.centroids);
                }
                (on_host, on_device) => {
                    assert_eq!(on_device.unwrap_err().to_string(), on_host.unwrap_err().to_string());
                }
            }
        }
    }
}

#[test]
fn whitening_by_the_moments_of_a_device_is_that_of_the_host() {
    let rows = normal(200, 9, 1) + 3.0;
    let config = WhiteningConfig { num_components: 5, ..Default::default() };
    let on_host = config.fit(&rows).unwrap();
    let on_device = config.fit(&Sloppy::new(rows.clone(), 0.0)).unwrap();
    let pairs = on_host.components().iter().zip(on_device.components());
    assert!(pairs.clone().count() == 5 * 9 && pairs.clone().all(|(a, b)| (a - b).abs() < 1e-9));
    // A direction with next to no variance is left to the host.
    let mut flat = rows;
    flat.column_mut(0).mapv_inplace(|value| value * 1e-4);
    let config = WhiteningConfig { num_components: 9, ..Default::default() };
    assert_eq!(config.fit(&flat).unwrap(), config.fit(&Sloppy::new(flat, 0.0)).unwrap());
}

#[test]
fn what_cannot_be_clustered_is_refused_as_on_the_host() {
    let kmeans = KMeansConfig { num_clusters: 2, ..Default::default() }.init().unwrap();
    for bad in [
        array![[1.0_f32, 2.0], [f32::NAN, 0.0], [0.0, 0.0]],
        array![[1.0_f32, 2.0], [3.0, 0.0], [f32::INFINITY, 0.0]],
        array![[1.0_f32, 2.0], [3e19, 0.0], [1.0, 0.0]],
        array![[1.0_f32, 2.0]],
        Array2::zeros((0, 4)),
    ] {
        let on_host = kmeans.cluster(&bad, 1, &mut ()).unwrap_err();
        let on_device = kmeans.cluster(&Sloppy::new(bad, 1e-6), 1, &mut ()).unwrap_err();
        assert_eq!(on_device.to_string(), on_host.to_string());
    }
}

#[test]
fn given_centroids_are_where_a_run_on_a_device_begins() {
    let rows = normal(100, 3, 8);
    let kmeans = KMeansConfig { num_clusters: 4, ..Default::default() }.init().unwrap();
    let initial = rows.slice(ndarray::s![..4, ..]).to_owned();
    let on_host = kmeans.fit(&rows, None, KMeansStart::Centroids(initial.view()), &mut ()).unwrap();
    let device = Sloppy::new(rows, 1e-4);
    let on_device = kmeans.fit(&device, None, KMeansStart::Centroids(initial.view()), &mut ()).unwrap();
    assert_eq!(on_device.centroids, on_host.centroids);
    let wrong = initial.slice(ndarray::s![..3, ..]);
    assert!(kmeans.fit(&device, None, KMeansStart::Centroids(wrong), &mut ()).is_err());
}
