//! The nearest neighbours of rows on a device.

use ndarray::Array2;
use rayon::prelude::*;

use super::Neighbors;
use super::search::{find_neighbors, list_of_neighbors};
use crate::clustering_algorithm::ClusteringObserver;
use crate::error::ClusteringError;
use crate::rows::device::{DeviceRows, ScoredRows};
use crate::rows::device::{checked_norms, score_error};
use crate::rows::distance::squared_distance;
use crate::rows::host::HostRows;
use crate::rows::matrix::FeatureMatrix;
use crate::scan::database::Database;
use crate::scan::{Nearest, Scan};
use crate::simd::Instructions;

/// Extra candidates per row: the row itself, and one whose score bounds those of all others.
const SPARE: usize = 2;

/// One in so many rows, at most, is searched for by itself.
const MOST_UNKNOWN: usize = 8;

/// The `num_neighbors` nearest other rows of each row, as [`find_neighbors`] finds them; `matrix` holds the
/// same rows on the host, where the candidates are compared.
pub(crate) fn find_neighbors_on_device(
    rows: &dyn DeviceRows,
    matrix: &FeatureMatrix<'_>,
    num_neighbors: usize,
    observer: &mut dyn ClusteringObserver,
) -> Result<Neighbors, ClusteringError> {
    let count = num_neighbors.saturating_add(1 + SPARE);
    let num_rows = matrix.num_rows();
    if num_neighbors == 0 || num_neighbors >= num_rows || count > rows.longest_list() {
        return find_neighbors(matrix, matrix, num_neighbors, true, observer);
    }
    let norms = checked_norms(rows)?;
    let largest_norm = norms.iter().copied().fold(0.0, f64::max);
    let lists = rows.lowest_scores(ScoredRows::Own, count)?;
    let none = Nearest { index: 0, squared_distance: 0.0 };
    let mut nearest = list_of_neighbors(num_rows, num_neighbors, none)?;
    let unknown: Vec<usize> = nearest
        .par_chunks_exact_mut(num_neighbors)
        .enumerate()
        .filter_map(|(row, out)| {
            let (indices, scores) =
                (&lists.indices[row * count..][..count], &lists.scores[row * count..][..count]);
            let others = || {
                indices
                    .iter()
                    .zip(scores)
                    .filter(|&(&index, &score)| index as usize != row && score < f32::MAX)
            };
            let Some((_, &last)) = others().nth(num_neighbors - 1) else { return Some(row) };
            // Whatever is not on the list has a score at least as high as the last that is.
            let limit = f64::from(last) + 2.0 * score_error(&lists, norms[row], largest_norm);
            let is_complete = count >= num_rows || f64::from(scores[count - 1]) > limit;
            if !is_complete {
                return Some(row);
            }
            let mut ranked: Vec<Nearest> = others()
                .map(|(&index, _)| Nearest {
                    index,
                    squared_distance: squared_distance(matrix.row(row), matrix.row(index as usize)),
                })
                .collect();
            ranked.sort_unstable_by(Nearest::compare);
            out.copy_from_slice(&ranked[..num_neighbors]);
            None
        })
        .collect();
    if observer.neighbors_found(num_rows - unknown.len(), num_rows).is_break() {
        return Err(ClusteringError::Cancelled);
    }
    if unknown.len() > num_rows / MOST_UNKNOWN {
        // Rows that are alike: a scan of all is faster than one of each of them.
        return find_neighbors(matrix, matrix, num_neighbors, true, observer);
    }
    scan(matrix, num_neighbors, &unknown, &mut nearest);
    if observer.neighbors_found(num_rows, num_rows).is_break() {
        return Err(ClusteringError::Cancelled);
    }
    let shape = (num_rows, num_neighbors);
    let (indices, squared_distances) =
        nearest.into_iter().map(|near| (near.index, near.squared_distance as f32)).unzip();
    Ok(Neighbors {
        indices: Array2::from_shape_vec(shape, indices).expect("num_neighbors for each row"),
        squared_distances: Array2::from_shape_vec(shape, squared_distances)
            .expect("num_neighbors for each row"),
    })
}

/// Writes the neighbours of some rows, found by a scan on the host.
fn scan(matrix: &FeatureMatrix<'_>, num_neighbors: usize, rows: &[usize], nearest: &mut [Nearest]) {
    if rows.is_empty() {
        return;
    }
    let instructions = Instructions::best();
    let database = Database::new(matrix.as_slice(), matrix.dim(), instructions, instructions.has_int8());
    let found: Vec<Vec<Nearest>> = rows
        .par_iter()
        .map_init(
            || Scan::new(&database, num_neighbors),
            |scan, &row| {
                let mut found = vec![Nearest { index: 0, squared_distance: 0.0 }; num_neighbors];
                scan.nearest_several(matrix.row(row), Some(row), &mut found);
                found
            },
        )
        .collect();
    for (&row, found) in rows.iter().zip(found) {
        nearest[row * num_neighbors..][..num_neighbors].copy_from_slice(&found);
    }
}
