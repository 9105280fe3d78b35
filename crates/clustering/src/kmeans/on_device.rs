//! k-means of rows on a device.

use std::time::Instant;

use super::assign::{NO_LABEL, database, for_each_block};
use super::cluster_sums::{ClusterSums, FixedPoint};
use super::fit::{best_of_redos, clustering, subsample};
use super::init::{distinct_indices, initial_centroids};
use super::lloyd::{Assigned, Iterated, LloydPass, iterate_passes};
use super::samples::Samples;
use crate::clustering_algorithm::{Clustering, ClusteringObserver};
use crate::error::ClusteringError;
use crate::kmeans::assign::ScanPrecision;
use crate::kmeans::config::{Initialization, KMeans, KMeansConfig, KMeansVariant};
use crate::kmeans::fit::KMeansStart;
use crate::rows::device::{DeviceRows, ScoredRows};
use crate::rows::device::{checked_norms, score_error};
use crate::rows::distance::{squared_distance, squared_norm};

/// Candidates per row: two, and a third whose score bounds those of all others.
const LIST_LEN: usize = 3;

impl KMeans {
    /// [`fit`](KMeans::fit) without weights for rows on a device: the variant [`KMeansVariant::Lloyd`] works
    /// there, the others read the rows to the host.
    pub(super) fn fit_on_device(
        &self,
        rows: &dyn DeviceRows,
        start: KMeansStart<'_>,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        let config = &self.config;
        let (num_samples, dim, num_clusters) = (rows.num_rows(), rows.feature_dim(), config.num_clusters);
        if config.variant != KMeansVariant::Lloyd || rows.longest_list() < LIST_LEN {
            return self.fit_on_host(&rows.to_host()?, None, start, observer);
        }
        let samples = DeviceSamples::new(rows)?;
        if num_samples < num_clusters {
            return Err(ClusteringError::TooFewSamples { num_samples, num_clusters });
        }
        let (seed, given) = match start {
            KMeansStart::Seed(seed) => (seed, None),
            KMeansStart::Centroids(centroids) => (0, Some(self.checked(centroids, dim)?)),
        };
        let begin = Instant::now();
        let (assigned, centroids, iterations) = match subsample(config, num_samples, seed) {
            None => {
                return best_of_redos(config, given.is_some(), seed, begin, |place, seed| {
                    let initial =
                        given.clone().map_or_else(|| samples.initial_centroids(config, seed), Ok)?;
                    let pass = DevicePass::new(&samples, initial.len() / dim);
                    let iterated = iterate_passes(place, config, dim, initial, pass, observer)?;
                    clustering(dim, iterated, inertia)
                });
            }
            Some(chosen) => {
                let chosen: Vec<u32> = chosen.into_iter().map(|row| row as u32).collect();
                let part = rows.gather(&chosen)?;
                let part = ndarray::ArrayView2::from_shape((chosen.len(), dim), &part);
                let part = part.expect("one row for each choice");
                let start = match &given {
                    Some(centroids) => KMeansStart::Centroids(
                        ndarray::ArrayView2::from_shape((num_clusters, dim), centroids)
                            .expect("the centroids were checked"),
                    ),
                    None => KMeansStart::Seed(seed),
                };
                let part_config = KMeansConfig { max_samples_per_cluster: None, ..config.clone() };
                let fitted = part_config.init()?.fit_on_host(&part, None, start, observer)?;
                let centroids = fitted.centroids.into_raw_vec_and_offset().0;
                (samples.assign(&centroids)?, centroids, fitted.iterations)
            }
        };
        clustering(dim, Iterated { centroids, assigned, iterations }, inertia)
    }
}

fn inertia(assigned: &Assigned) -> f64 {
    assigned.squared_distances.iter().map(|&distance| f64::from(distance)).sum()
}

/// The checked rows of a device.
struct DeviceSamples<'a> {
    rows: &'a dyn DeviceRows,
    /// From above, `[num_rows]`.
    norms: Vec<f64>,
    fixed_point: FixedPoint,
}

impl<'a> DeviceSamples<'a> {
    fn new(rows: &'a dyn DeviceRows) -> Result<Self, ClusteringError> {
        let norms = checked_norms(rows)?;
        let fixed_point = FixedPoint::new(&rows.column_maxima()?, 1.0, rows.num_rows());
        Ok(Self { rows, norms, fixed_point })
    }

    fn initial_centroids(&self, config: &KMeansConfig, seed: u64) -> Result<Vec<f32>, ClusteringError> {
        if config.initialization == Initialization::Random {
            let chosen = distinct_indices(self.rows.num_rows(), config.num_clusters, seed);
            return self.rows.gather(&chosen.into_iter().map(|row| row as u32).collect::<Vec<u32>>());
        }
        let host = self.rows.to_host()?;
        let view = host.view();
        Ok(initial_centroids(config, &Samples::new(&view, None)?, seed))
    }

    /// The nearest centroid of each row by a comparison in `f64`, the lowest index among equals; and the
    /// distances to them.
    fn assign(&self, centroids: &[f32]) -> Result<Assigned, ClusteringError> {
        let labels = self.labels(centroids)?;
        let squared_distances = self.rows.squared_distances(&labels, centroids)?;
        Ok(Assigned { labels, squared_distances })
    }

    fn labels(&self, centroids: &[f32]) -> Result<Vec<u32>, ClusteringError> {
        let dim = self.rows.feature_dim();
        let largest_norm = centroids.chunks_exact(dim).map(squared_norm).fold(0.0, f64::max).sqrt();
        let lists = self.rows.lowest_scores(ScoredRows::Given(centroids), LIST_LEN)?;
        let mut labels = Vec::with_capacity(self.norms.len());
        // Rows with two candidates, and rows with more than the list holds.
        let (mut doubtful, mut unknown) = (Vec::new(), Vec::new());
        let rows =
            lists.indices.chunks_exact(LIST_LEN).zip(lists.scores.chunks_exact(LIST_LEN)).zip(&self.norms);
        for (row, ((indices, scores), &norm)) in (0_u32..).zip(rows) {
            let limit = f64::from(scores[0]) + 2.0 * score_error(&lists, norm, largest_norm);
            if f64::from(scores[2]) <= limit {
                unknown.push(row);
            } else if f64::from(scores[1]) <= limit {
                doubtful.push(row);
            }
            labels.push(indices[0]);
        }
        let values = self.rows.gather(&doubtful)?;
        let centroid = |label: u32| &centroids[label as usize * dim..][..dim];
        for (&row, values) in doubtful.iter().zip(values.chunks_exact(dim)) {
            let candidates = &lists.indices[row as usize * LIST_LEN..][..2];
            let (low, high) = (candidates[0].min(candidates[1]), candidates[0].max(candidates[1]));
            let high_is_nearer =
                squared_distance(values, centroid(high)) < squared_distance(values, centroid(low));
            labels[row as usize] = if high_is_nearer { high } else { low };
        }
        if !unknown.is_empty() {
            self.scan(&unknown, centroids, &mut labels)?;
        }
        Ok(labels)
    }

    /// Writes the labels of some rows, found by a scan on the host.
    fn scan(&self, rows: &[u32], centroids: &[f32], labels: &mut [u32]) -> Result<(), ClusteringError> {
        let dim = self.rows.feature_dim();
        let values = self.rows.gather(rows)?;
        let values =
            ndarray::ArrayView2::from_shape((rows.len(), dim), &values).expect("each has dim values");
        let database = database(centroids, dim, ScanPrecision::Auto);
        let (mut found, mut distances) = (vec![NO_LABEL; rows.len()], vec![0.0; rows.len()]);
        for_each_block(&values, &database, &mut found, &mut distances, None, |block| block.write_nearest());
        for (&row, label) in rows.iter().zip(found) {
            labels[row as usize] = label;
        }
        Ok(())
    }
}

/// A pass over rows on a device.
struct DevicePass<'a> {
    samples: &'a DeviceSamples<'a>,
    assigned: Assigned,
    sums: ClusterSums,
}

impl<'a> DevicePass<'a> {
    fn new(samples: &'a DeviceSamples<'a>, num_clusters: usize) -> Self {
        let assigned = Assigned { labels: Vec::new(), squared_distances: Vec::new() };
        Self { samples, assigned, sums: ClusterSums::zeros(num_clusters, samples.rows.feature_dim()) }
    }
}

impl LloydPass for DevicePass<'_> {
    fn run(&mut self, centroids: &[f32]) -> Result<(), ClusteringError> {
        let DeviceSamples { rows, fixed_point, .. } = self.samples;
        self.assigned = self.samples.assign(centroids)?;
        let (labels, num_clusters) = (&self.assigned.labels, centroids.len() / rows.feature_dim());
        let sums = rows.cluster_sums(labels, num_clusters, &fixed_point.exponents(), fixed_point.bits())?;
        self.sums = ClusterSums::from_sums(fixed_point, sums, labels, num_clusters);
        Ok(())
    }

    fn write_means(&self, centroids: &mut [f32]) -> Vec<usize> {
        self.sums.write_means(&self.samples.fixed_point, centroids)
    }

    fn inertia(&self) -> f64 {
        inertia(&self.assigned)
    }

    fn finish(self, centroids: &[f32]) -> Result<Assigned, ClusteringError> {
        self.samples.assign(centroids)
    }
}
