//! The interface of clustering to rows on a device.

use deepcluster_clustering::{
    ClusteringError, DeviceRows, Moments, Place, Rows, ScoreLists, ScoredRows, Whitening,
};
use deepcluster_kernels::MAX_NEAREST_ROWS;
use ndarray::Array2;

use crate::features::device::features::DeviceFeatures;
use crate::features::device::{moments, scores, sums};

impl Rows for DeviceFeatures {
    fn place(&self) -> Place<'_> {
        Place::Device(self)
    }
}

impl DeviceRows for DeviceFeatures {
    fn num_rows(&self) -> usize {
        self.len()
    }

    fn feature_dim(&self) -> usize {
        self.feature_dim()
    }

    fn to_host(&self) -> Result<Array2<f32>, ClusteringError> {
        self.to_matrix()
    }

    fn gather(&self, rows: &[u32]) -> Result<Vec<f32>, ClusteringError> {
        let dim = self.feature_dim();
        // Each chunk is read once; rows return to their places.
        let mut places: Vec<Vec<(i32, usize)>> = self.chunks.iter().map(|_| Vec::new()).collect();
        for (place, &row) in rows.iter().enumerate() {
            let chunk = self.chunks.partition_point(|chunk| chunk.first <= row as usize) - 1;
            places[chunk].push(((row as usize - self.chunks[chunk].first) as i32, place));
        }
        let mut gathered = vec![0.0; rows.len() * dim];
        for (chunk, places) in self.chunks.iter().zip(places).filter(|(_, places)| !places.is_empty()) {
            let chosen: Vec<i32> = places.iter().map(|&(row, _)| row).collect();
            let values = chunk.gather(&chosen, self.device())?;
            for ((_, place), values) in places.into_iter().zip(values.chunks_exact(dim)) {
                gathered[place * dim..][..dim].copy_from_slice(values);
            }
        }
        Ok(gathered)
    }

    fn whitened(&self, whitening: &Whitening) -> Result<Box<dyn Rows>, ClusteringError> {
        Ok(Box::new(DeviceFeatures::whitened(self, whitening)?))
    }

    fn squared_norms(&self) -> Result<Vec<f32>, ClusteringError> {
        sums::squared_norms(self)
    }

    fn column_maxima(&self) -> Result<Vec<f32>, ClusteringError> {
        sums::column_maxima(self)
    }

    fn moments(&self) -> Result<Moments, ClusteringError> {
        moments::moments(self)
    }

    fn longest_list(&self) -> usize {
        MAX_NEAREST_ROWS
    }

    fn lowest_scores(&self, database: ScoredRows<'_>, count: usize) -> Result<ScoreLists, ClusteringError> {
        scores::lowest_scores(self, database, count)
    }

    fn cluster_sums(
        &self,
        labels: &[u32],
        num_clusters: usize,
        exponents: &[i32],
        bits: u32,
    ) -> Result<Vec<i64>, ClusteringError> {
        sums::cluster_sums(self, labels, num_clusters, exponents, bits)
    }

    fn squared_distances(&self, labels: &[u32], centroids: &[f32]) -> Result<Vec<f32>, ClusteringError> {
        sums::squared_distances(self, labels, centroids)
    }
}
