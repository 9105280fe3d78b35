//! Exact search of the k nearest neighbours.
//!
//! The scan of the assignment step of k-means, with a list of the best instead of one: every candidate that
//! integers and single precision do not rule out is measured again in `f64`, so the neighbours are the true
//! ones.

mod on_device;
mod search;

use ndarray::{Array2, ArrayView2};

use crate::clustering_algorithm::ClusteringObserver;
use crate::error::ClusteringError;
use crate::rows::matrix::FeatureMatrix;
use crate::rows::{Place, Rows};
use on_device::find_neighbors_on_device;
pub(crate) use search::find_neighbors;

/// The nearest database rows of each query, nearest first, made by [`nearest_neighbors`].
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// Row numbers in the database, `[num_queries, num_neighbors]`.
    pub indices: Array2<u32>,
    /// Squared Euclidean distances to them, `[num_queries, num_neighbors]`.
    pub squared_distances: Array2<f32>,
}

/// Finds for each row of `queries`, `[num_queries, feature_dim]`, the `num_neighbors` nearest rows of
/// `database`, `[num_rows, feature_dim]`.
///
/// Distances are compared as exactly as `f64` can; among equal ones the lowest index comes first. With
/// `exclude_self` query `i` is row `i` of the database, which is left out by its number: another row with the
/// same values counts as a neighbour. The bits do not depend on the number of threads.
///
/// Costs `O(num_queries * num_rows * feature_dim)`. Beyond the result, memory holds one tile of distances and
/// the candidates of one block of queries per thread.
///
/// # Errors
/// - [`ClusteringError::InvalidConfig`]: `num_neighbors` is 0.
/// - [`ClusteringError::TooManyNeighbors`]: memory does not hold `num_neighbors` for each query.
/// - [`ClusteringError::TooFewCandidates`]: the database has fewer than `num_neighbors` other rows.
/// - [`ClusteringError::DimensionMismatch`]: the matrices differ in their number of columns or, with
///   `exclude_self`, of rows.
/// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
///   [`ClusteringError::FeaturesTooLarge`]: names the first bad row, of `queries` before `database`.
///
/// ```
/// use deepcluster_clustering::nearest_neighbors;
/// use ndarray::array;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let points = array![[0.0_f32], [1.0], [3.0], [3.5]];
/// let neighbors = nearest_neighbors(points.view(), points.view(), 1, true)?;
/// assert_eq!(neighbors.indices, array![[1], [0], [3], [2]]);
/// assert_eq!(neighbors.squared_distances, array![[1.0], [1.0], [0.25], [0.25]]);
/// # Ok(())
/// # }
/// ```
pub fn nearest_neighbors(
    queries: ArrayView2<'_, f32>,
    database: ArrayView2<'_, f32>,
    num_neighbors: usize,
    exclude_self: bool,
) -> Result<Neighbors, ClusteringError> {
    let mut sizes = vec![("the dimension of the queries", queries.ncols(), database.ncols())];
    if exclude_self {
        sizes.push(("the number of queries", queries.nrows(), database.nrows()));
    }
    for (what, actual, expected) in sizes {
        if actual != expected {
            return Err(ClusteringError::DimensionMismatch { what, expected, actual });
        }
    }
    let queries = FeatureMatrix::new(queries)?;
    let database = FeatureMatrix::new(database)?;
    find_neighbors(&queries, &database, num_neighbors, exclude_self, &mut ())
}

/// Finds the `num_neighbors` nearest other rows of each of `rows`, wherever they lie, and hands them to
/// `then` with the rows on the host and the observer.
pub(crate) fn with_neighbors<T, F>(
    rows: &dyn Rows,
    num_neighbors: usize,
    observer: &mut dyn ClusteringObserver,
    then: F,
) -> Result<T, ClusteringError>
where
    F: FnOnce(&FeatureMatrix<'_>, Neighbors, &mut dyn ClusteringObserver) -> Result<T, ClusteringError>,
{
    let mut buffer = Vec::new();
    match rows.place() {
        Place::Host(rows) => {
            let features = FeatureMatrix::read(rows, &mut buffer)?;
            let neighbors = find_neighbors(&features, &features, num_neighbors, true, observer)?;
            then(&features, neighbors, observer)
        }
        Place::Device(rows) => {
            let host = rows.to_host()?;
            let features = FeatureMatrix::new(host.view())?;
            let neighbors = find_neighbors_on_device(rows, &features, num_neighbors, observer)?;
            then(&features, neighbors, observer)
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn neighbours_come_nearest_first_with_their_distances() {
        let database = array![[0.0_f32, 0.0], [3.0, 4.0], [1.0, 0.0], [-1.0, -1.0]];
        let neighbors = nearest_neighbors(array![[0.0_f32, 0.0]].view(), database.view(), 4, false).unwrap();
        assert_eq!(neighbors.indices, array![[0_u32, 2, 3, 1]]);
        assert_eq!(neighbors.squared_distances, array![[0.0_f32, 1.0, 2.0, 25.0]]);
    }

    #[test]
    fn a_query_is_excluded_by_its_number_and_its_copies_stay() {
        let points = array![[1.0_f32], [1.0], [1.0], [5.0]];
        let neighbors = nearest_neighbors(points.view(), points.view(), 2, true).unwrap();
        assert_eq!(neighbors.indices, array![[1_u32, 2], [0, 2], [0, 1], [0, 1]]);
        assert_eq!(neighbors.squared_distances, array![[0.0_f32, 0.0], [0.0, 0.0], [0.0, 0.0], [16.0, 16.0]]);
    }

    #[test]
    fn impossible_requests_are_refused() {
        let points = array![[1.0_f32], [2.0], [3.0]];
        let search = |num_neighbors, exclude_self| {
            nearest_neighbors(points.view(), points.view(), num_neighbors, exclude_self)
        };
        assert!(search(3, false).is_ok());
        assert!(matches!(
            search(3, true),
            Err(ClusteringError::TooFewCandidates { num_neighbors: 3, num_candidates: 2 })
        ));
        assert!(matches!(
            search(0, false),
            Err(ClusteringError::InvalidConfig { field: "num_neighbors", .. })
        ));
        let other = array![[1.0_f32]];
        assert!(matches!(
            nearest_neighbors(other.view(), points.view(), 1, true),
            Err(ClusteringError::DimensionMismatch { expected: 3, actual: 1, .. })
        ));
        let other = array![[1.0_f32, 2.0]];
        assert!(matches!(
            nearest_neighbors(other.view(), points.view(), 1, false),
            Err(ClusteringError::DimensionMismatch { expected: 1, actual: 2, .. })
        ));
        let bad = array![[1.0_f32], [f32::NAN]];
        assert!(matches!(
            nearest_neighbors(points.view(), bad.view(), 1, false),
            Err(ClusteringError::NonFiniteFeatures { row: 1 })
        ));
    }
}
