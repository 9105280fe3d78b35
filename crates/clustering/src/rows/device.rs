//! Rows on a device that searches them and adds them up itself.

use ndarray::Array2;

use crate::error::ClusteringError;
use crate::rows::Rows;
use crate::rows::distance::{LARGEST_SQUARED_NORM, checked_squared_norm};
use crate::whitening::Whitening;

/// Rows of features, `[num_rows, feature_dim]`, that lie on a device, and the parts of clustering that it
/// does for them.
///
/// A device computes scores in low precision; what they cannot tell apart is compared again on the host in
/// `f64`. Sums are exact. So a clustering on a device has the labels and centroids, bit by bit, of one on the
/// host.
///
/// Each function fails with [`ClusteringError::Device`] where the device does.
#[allow(clippy::missing_errors_doc, reason = "said above, once for all")]
pub trait DeviceRows: Sync {
    /// Number of rows.
    fn num_rows(&self) -> usize;

    /// Number of values of each row.
    fn feature_dim(&self) -> usize;

    /// All rows, read to the host.
    fn to_host(&self) -> Result<Array2<f32>, ClusteringError>;

    /// The rows of these numbers, read to the host one after the other.
    fn gather(&self, rows: &[u32]) -> Result<Vec<f32>, ClusteringError>;

    /// The sum of squares of each row, `[num_rows]`, to a relative error of 0.001; NaN or infinite where a
    /// value is.
    fn squared_norms(&self) -> Result<Vec<f32>, ClusteringError>;

    /// The largest magnitude of each column, `[feature_dim]`.
    fn column_maxima(&self) -> Result<Vec<f32>, ClusteringError>;

    /// The mean of the rows and their covariance around it, divided by the number of rows.
    fn moments(&self) -> Result<Moments, ClusteringError>;

    /// Most rows that [`lowest_scores`](Self::lowest_scores) lists for each.
    fn longest_list(&self) -> usize;

    /// The `count` rows `c` of `database` with the lowest scores `||c||^2 / 2 - <x, c>`, for each row `x`.
    fn lowest_scores(&self, database: ScoredRows<'_>, count: usize) -> Result<ScoreLists, ClusteringError>;

    /// The sums of the rows of each label, `[num_clusters, feature_dim]`, in fixed-point numbers: a value `v`
    /// of column `j` counts as `round(v * 2^exponents[j])`, ties to even, which has at most `bits` bits.
    fn cluster_sums(
        &self,
        labels: &[u32],
        num_clusters: usize,
        exponents: &[i32],
        bits: u32,
    ) -> Result<Vec<i64>, ClusteringError>;

    /// The rows after `whitening`, where they are best kept; on the host by default.
    fn whitened(&self, whitening: &Whitening) -> Result<Box<dyn Rows>, ClusteringError> {
        Ok(Box::new(whitening.transform(&self.to_host()?)?))
    }

    /// The squared distance of each row to the row of `centroids`, `[_, feature_dim]`, that its label names.
    fn squared_distances(&self, labels: &[u32], centroids: &[f32]) -> Result<Vec<f32>, ClusteringError>;
}

/// The database of a search on a device.
#[derive(Debug, Clone, Copy)]
pub enum ScoredRows<'a> {
    /// These, `[_, feature_dim]`.
    Given(&'a [f32]),
    /// All rows of the device, each itself among them.
    Own,
}

/// For each row a list of candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreLists {
    /// Length of each list.
    pub count: usize,
    /// Numbers of rows of the database, `[num_rows, count]`, the lowest score first.
    pub indices: Vec<u32>,
    /// Their scores, `[num_rows, count]`; `f32::MAX` where the database has fewer rows.
    pub scores: Vec<f32>,
    /// A score differs from the exact one by at most this, times `||x|| ||c|| + ||c||^2`.
    pub relative_error: f64,
}

/// Mean and covariance.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// `[feature_dim]`
    pub mean: Vec<f64>,
    /// `[feature_dim, feature_dim]`
    pub covariance: Vec<f64>,
}

/// The norm of each row, from above; checks that there are rows, and that they are finite and not too large.
pub(crate) fn checked_norms(rows: &dyn DeviceRows) -> Result<Vec<f64>, ClusteringError> {
    let (num_samples, feature_dim) = (rows.num_rows(), rows.feature_dim());
    if num_samples == 0 || feature_dim == 0 {
        return Err(ClusteringError::EmptyFeatures { num_samples, feature_dim });
    }
    if u32::try_from(num_samples).is_err() {
        return Err(ClusteringError::TooManySamples { num_samples });
    }
    let squared = rows.squared_norms()?;
    for (row, &squared) in squared.iter().enumerate() {
        let is_sound = f64::from(squared) <= 0.99 * LARGEST_SQUARED_NORM;
        // Sums may overflow on the device alone: the row is checked on the host.
        if !is_sound {
            checked_squared_norm(&rows.gather(&[row as u32])?, row)?;
        }
    }
    Ok(squared.into_iter().map(|squared| f64::from(squared).sqrt() * 1.001).collect())
}

/// Most by which a score of a row of this norm differs from the exact one.
pub(crate) fn score_error(lists: &ScoreLists, norm: f64, largest_norm: f64) -> f64 {
    // Products below the smallest normal number may count as 0.
    lists.relative_error * largest_norm * (norm + largest_norm) + 1e-33
}
