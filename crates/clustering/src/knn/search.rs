//! The scan over blocks of queries and tiles of the database.

use std::ops::ControlFlow;

use ndarray::Array2;
use rayon::prelude::*;

use super::Neighbors;
use crate::clustering_algorithm::ClusteringObserver;
use crate::error::ClusteringError;
use crate::rows::host::HostRows;
use crate::rows::matrix::FeatureMatrix;
use crate::scan::database::Database;
use crate::scan::{Nearest, ROWS_PER_BLOCK, Scan};
use crate::simd::Instructions;

/// Queries between two calls of the observer.
const QUERIES_PER_WAVE: usize = 43 * ROWS_PER_BLOCK;

/// [`nearest_neighbors`](super::nearest_neighbors) of checked rows; `observer` is notified of the progress.
///
/// # Errors
/// - [`ClusteringError::InvalidConfig`]: `num_neighbors` is 0.
/// - [`ClusteringError::TooFewCandidates`]: the database has fewer than `num_neighbors` other rows.
/// - [`ClusteringError::Cancelled`]: the observer stopped the search.
pub(crate) fn find_neighbors(
    queries: &FeatureMatrix<'_>,
    database: &FeatureMatrix<'_>,
    num_neighbors: usize,
    exclude_self: bool,
    observer: &mut dyn ClusteringObserver,
) -> Result<Neighbors, ClusteringError> {
    if num_neighbors == 0 {
        let (field, value) = ("num_neighbors", num_neighbors.to_string());
        return Err(ClusteringError::InvalidConfig { field, value, allowed: "at least 1" });
    }
    let num_candidates = database.num_rows() - usize::from(exclude_self);
    if num_neighbors > num_candidates {
        return Err(ClusteringError::TooFewCandidates { num_neighbors, num_candidates });
    }
    let instructions = Instructions::best();
    let search = Search {
        queries,
        database: Database::new(database.as_slice(), database.dim(), instructions, instructions.has_int8()),
        num_neighbors,
        exclude_self,
    };
    let num_queries = queries.num_rows();
    let mut indices = list_of_neighbors(num_queries, num_neighbors, 0)?;
    let mut squared_distances = list_of_neighbors(num_queries, num_neighbors, 0.0)?;
    let waves = indices
        .chunks_mut(QUERIES_PER_WAVE * num_neighbors)
        .zip(squared_distances.chunks_mut(QUERIES_PER_WAVE * num_neighbors));
    for (first, (indices, squared_distances)) in (0..).step_by(QUERIES_PER_WAVE).zip(waves) {
        search.run_wave(first, indices, squared_distances);
        let num_done = first + indices.len() / num_neighbors;
        if let ControlFlow::Break(()) = observer.neighbors_found(num_done, num_queries) {
            return Err(ClusteringError::Cancelled);
        }
    }
    let shape = (num_queries, num_neighbors);
    Ok(Neighbors {
        indices: Array2::from_shape_vec(shape, indices).expect("each query has num_neighbors indices"),
        squared_distances: Array2::from_shape_vec(shape, squared_distances)
            .expect("each query has num_neighbors distances"),
    })
}

/// `num_neighbors` values for each query.
pub(super) fn list_of_neighbors<T: Clone>(
    num_queries: usize,
    num_neighbors: usize,
    value: T,
) -> Result<Vec<T>, ClusteringError> {
    let mut values = Vec::new();
    let length = num_queries.checked_mul(num_neighbors);
    match length.filter(|&length| values.try_reserve_exact(length).is_ok()) {
        Some(length) => values.resize(length, value),
        None => return Err(ClusteringError::TooManyNeighbors { num_queries, num_neighbors }),
    }
    Ok(values)
}

struct Search<'a> {
    queries: &'a FeatureMatrix<'a>,
    database: Database<'a>,
    num_neighbors: usize,
    exclude_self: bool,
}

impl Search<'_> {
    /// Searches for the queries from `first` on.
    fn run_wave(&self, first: usize, indices: &mut [u32], squared_distances: &mut [f32]) {
        let dim = self.database.dim();
        let block_len = ROWS_PER_BLOCK * self.num_neighbors;
        indices
            .par_chunks_mut(block_len)
            .zip(squared_distances.par_chunks_mut(block_len))
            .enumerate()
            .for_each_init(
                || (Scan::new(&self.database, self.num_neighbors), Vec::new()),
                |(scan, nearest), (block, (indices, squared_distances))| {
                    let first = first + block * ROWS_PER_BLOCK;
                    let num_queries = indices.len() / self.num_neighbors;
                    let rows = &self.queries.as_slice()[first * dim..][..num_queries * dim];
                    nearest.resize(indices.len(), Nearest { index: 0, squared_distance: 0.0 });
                    scan.nearest_several(rows, self.exclude_self.then_some(first), nearest);
                    for ((index, distance), near) in indices.iter_mut().zip(squared_distances).zip(nearest) {
                        *index = near.index;
                        *distance = near.squared_distance as f32;
                    }
                },
            );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::distance::squared_distance;

    fn points(num_rows: usize, dim: usize, salt: usize) -> Array2<f32> {
        let value = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * i * 31 + salt) % 1009) as f32 / 100.0;
        Array2::from_shape_fn((num_rows, dim), |(i, j)| value(i, j))
    }

    #[test]
    fn neighbours_equal_a_plain_scan_for_sizes_around_blocks_and_tiles() {
        for (num_queries, num_rows, dim, num_neighbors) in [(1, 1, 1, 1), (129, 513, 7, 5), (40, 1100, 3, 30)]
        {
            let (queries, database) = (points(num_queries, dim, 0), points(num_rows, dim, 501));
            let (queries, database) =
                (FeatureMatrix::new(queries.view()).unwrap(), FeatureMatrix::new(database.view()).unwrap());
            let found = find_neighbors(&queries, &database, num_neighbors, false, &mut ()).unwrap();
            for query in 0..num_queries {
                let mut expected: Vec<(f64, u32)> = (0..num_rows)
                    .map(|row| (squared_distance(queries.row(query), database.row(row)), row as u32))
                    .collect();
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                for (rank, (distance, row)) in expected.into_iter().take(num_neighbors).enumerate() {
                    assert_eq!(found.indices[[query, rank]], row);
                    assert_eq!(found.squared_distances[[query, rank]], distance as f32);
                }
            }
        }
    }

    #[test]
    fn differences_below_the_precision_of_f32_scores_are_still_told_apart() {
        let query = ndarray::array![[1000.0_f32, 1.0, 1.0]];
        let database =
            ndarray::array![[1000.0_f32, 1.0, 1.001], [1000.0, 1.0, 1.0009], [1000.0, 1.0, 1.0011]];
        let (query, database) =
            (FeatureMatrix::new(query.view()).unwrap(), FeatureMatrix::new(database.view()).unwrap());
        let found = find_neighbors(&query, &database, 3, false, &mut ()).unwrap();
        assert_eq!(found.indices, ndarray::array![[1_u32, 0, 2]]);
    }

    #[test]
    fn the_observer_hears_of_every_wave_and_can_stop_the_search() {
        struct Watch(Vec<(usize, usize)>, usize);
        impl ClusteringObserver for Watch {
            fn neighbors_found(&mut self, num_rows_done: usize, num_rows: usize) -> ControlFlow<()> {
                self.0.push((num_rows_done, num_rows));
                if self.0.len() == self.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        }
        let (queries, database) = (points(QUERIES_PER_WAVE + 3, 2, 0), points(5, 2, 9));
        let (queries, database) =
            (FeatureMatrix::new(queries.view()).unwrap(), FeatureMatrix::new(database.view()).unwrap());
        let mut watch = Watch(Vec::new(), 3);
        find_neighbors(&queries, &database, 2, false, &mut watch).unwrap();
        assert_eq!(
            watch.0,
            [(QUERIES_PER_WAVE, queries.num_rows()), (queries.num_rows(), queries.num_rows())]
        );
        let result = find_neighbors(&queries, &database, 2, false, &mut Watch(Vec::new(), 1));
        assert!(matches!(result, Err(ClusteringError::Cancelled)));
    }
}
