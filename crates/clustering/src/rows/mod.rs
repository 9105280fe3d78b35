//! Rows of features, wherever they lie: the input of every algorithm.

pub(crate) mod checked;
pub(crate) mod device;
pub(crate) mod distance;
pub(crate) mod file;
pub(crate) mod host;
pub(crate) mod matrix;
pub(crate) mod stored;

use ndarray::Array2;

use crate::error::ClusteringError;
use crate::rows::device::DeviceRows;
use crate::rows::host::HostRows;
use crate::whitening::Whitening;

/// Rows that are copied to a matrix at a time.
const ROWS_PER_COPY: usize = 4096;

/// Rows of features, `[num_rows, feature_dim]`: a matrix, halves in memory
/// ([`StoredFeatures`](crate::StoredFeatures)), a mapped file ([`FeatureFile`](crate::FeatureFile)), or rows
/// on a device.
///
/// Everything that can be read block by block ([`HostRows`]) is `Rows`; a device provides [`DeviceRows`].
/// Algorithms return the same labels and centroids, bit by bit, for all of them.
///
/// ```
/// use deepcluster_clustering::{ClusteringAlgorithm, KMeansConfig, Rows};
/// use ndarray::array;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let matrix = array![[0.0_f32, 0.1], [0.1, 0.0], [9.0, 9.1]];
/// let rows: &dyn Rows = &matrix;
/// assert_eq!((rows.num_rows(), rows.dim()), (3, 2));
/// let kmeans = KMeansConfig { num_clusters: 2, ..Default::default() }.init()?;
/// assert_eq!(kmeans.cluster(rows, 7, &mut ())?.assignments.num_clusters(), 2);
/// # Ok(())
/// # }
/// ```
pub trait Rows: Sync {
    /// Where the rows lie, and how they are read there.
    fn place(&self) -> Place<'_>;
}

/// Where rows lie.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// In memory or in a file of the host.
    Host(&'a dyn HostRows),
    /// On a device that searches them and adds them up itself.
    Device(&'a dyn DeviceRows),
}

impl<T: HostRows> Rows for T {
    fn place(&self) -> Place<'_> {
        Place::Host(self)
    }
}

impl dyn Rows + '_ {
    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        match self.place() {
            Place::Host(rows) => rows.num_rows(),
            Place::Device(rows) => rows.num_rows(),
        }
    }

    /// Number of values of each row.
    pub fn dim(&self) -> usize {
        match self.place() {
            Place::Host(rows) => rows.feature_dim(),
            Place::Device(rows) => rows.feature_dim(),
        }
    }

    /// All rows as a matrix of the host.
    ///
    /// # Errors
    /// [`ClusteringError::Device`] where a device fails.
    pub fn to_matrix(&self) -> Result<Array2<f32>, ClusteringError> {
        match self.place() {
            Place::Host(rows) => {
                let shape = (rows.num_rows(), rows.feature_dim());
                let mut values = Vec::with_capacity(shape.0 * shape.1);
                let mut buffer = Vec::new();
                for first in (0..shape.0).step_by(ROWS_PER_COPY) {
                    let count = ROWS_PER_COPY.min(shape.0 - first);
                    values.extend_from_slice(rows.read_rows(first, count, &mut buffer));
                }
                Ok(Array2::from_shape_vec(shape, values).expect("each row has feature_dim values"))
            }
            Place::Device(rows) => rows.to_host(),
        }
    }

    /// The rows after `whitening`, `[num_rows, num_components]`, in the same place.
    ///
    /// # Errors
    /// Those of [`Whitening::transform`].
    pub fn whitened(&self, whitening: &Whitening) -> Result<Box<dyn Rows>, ClusteringError> {
        match self.place() {
            Place::Host(_) => Ok(Box::new(whitening.transform(self)?)),
            Place::Device(rows) => rows.whitened(whitening),
        }
    }
}
