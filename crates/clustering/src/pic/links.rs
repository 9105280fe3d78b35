//! The links of a neighbour graph in both directions.

use std::borrow::Cow;
use std::cmp::Ordering;

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::{ClusteringError, Neighbors};

/// The end of a link with its squared distance.
pub(super) type Link = (u32, f32);

/// A checked neighbour graph: all links lead to other rows, over finite distances.
pub(super) struct Links<'a> {
    pub(super) num_rows: usize,
    pub(super) num_neighbors: usize,
    indices: Cow<'a, [u32]>,
    squared_distances: Cow<'a, [f32]>,
}

impl<'a> Links<'a> {
    /// Checks every row of `neighbors`.
    pub(super) fn new(neighbors: &'a Neighbors) -> Result<Self, ClusteringError> {
        let (num_rows, num_neighbors) = neighbors.indices.dim();
        let (distance_rows, distance_columns) = neighbors.squared_distances.dim();
        for (what, expected, actual) in [
            ("the number of rows of squared_distances", num_rows, distance_rows),
            ("the number of columns of squared_distances", num_neighbors, distance_columns),
        ] {
            if actual != expected {
                return Err(ClusteringError::DimensionMismatch { what, expected, actual });
            }
        }
        if u32::try_from(num_rows).is_err() {
            return Err(ClusteringError::TooManySamples { num_samples: num_rows });
        }
        let links = Self {
            num_rows,
            num_neighbors,
            indices: row_by_row(neighbors.indices.view()),
            squared_distances: row_by_row(neighbors.squared_distances.view()),
        };
        let bad_row =
            |row| links.problem(row).map(|problem| ClusteringError::InvalidNeighbor { row, problem });
        match (0..num_rows).into_par_iter().find_map_first(bad_row) {
            Some(error) => Err(error),
            None => Ok(links),
        }
    }

    /// The neighbours of `row`, nearest first.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = Link> {
        let range = row * self.num_neighbors..(row + 1) * self.num_neighbors;
        self.indices[range.clone()].iter().copied().zip(self.squared_distances[range].iter().copied())
    }

    fn problem(&self, row: usize) -> Option<&'static str> {
        self.row(row).find_map(|(neighbor, distance)| {
            if neighbor as usize >= self.num_rows {
                Some("names a sample that does not exist")
            } else if neighbor as usize == row {
                Some("names itself as a neighbour")
            } else if !(0.0..=f32::MAX).contains(&distance) {
                Some("has a squared distance that is negative, NaN or infinite")
            } else {
                None
            }
        })
    }
}

/// The links of a graph, by the sample to which they lead.
pub(super) struct Incoming {
    /// Where the links to each sample begin in `links`, and their end.
    pub(super) offsets: Vec<usize>,
    links: Vec<Link>,
}

impl Incoming {
    pub(super) fn new(links: &Links<'_>) -> Self {
        // While the links are laid out, entry i + 1 is where the next one to sample i goes.
        let mut offsets = vec![0; links.num_rows + 2];
        for &neighbor in &*links.indices {
            offsets[neighbor as usize + 2] += 1;
        }
        for index in 2..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        let mut incoming = vec![(0, 0.0); links.indices.len()];
        for row in 0..links.num_rows {
            for (neighbor, distance) in links.row(row) {
                let next = &mut offsets[neighbor as usize + 1];
                incoming[*next] = (row as u32, distance);
                *next += 1;
            }
        }
        offsets.pop();
        Self { offsets, links: incoming }
    }

    /// The samples that are linked to `row`, in ascending order.
    pub(super) fn row(&self, row: usize) -> &[Link] {
        &self.links[self.offsets[row]..self.offsets[row + 1]]
    }
}

/// The links of two lists in ascending order, of equal ones those of `a` first.
pub(super) fn merge<'a>(mut a: &'a [Link], mut b: &'a [Link]) -> impl Iterator<Item = Link> + 'a {
    std::iter::from_fn(move || {
        let from_a = match (a.first(), b.first()) {
            (Some(x), Some(y)) => x.0.cmp(&y.0) != Ordering::Greater,
            (first, _) => first.is_some(),
        };
        let source = if from_a { &mut a } else { &mut b };
        source.split_off_first().copied()
    })
}

fn row_by_row<T: Copy>(matrix: ArrayView2<'_, T>) -> Cow<'_, [T]> {
    match matrix.to_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(matrix.iter().copied().collect()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn refused(indices: Array2<u32>, squared_distances: Array2<f32>) -> ClusteringError {
        Links::new(&Neighbors { indices, squared_distances }).err().unwrap()
    }

    #[test]
    fn links_are_found_from_both_ends_in_any_layout() {
        let indices = array![[1_u32, 0, 1], [2, 2, 0]].reversed_axes(); // rows (1, 2), (0, 2), (1, 0)
        let squared_distances = array![[0.1_f32, 0.2], [0.3, 0.4], [0.5, 0.6]];
        let neighbors = Neighbors { indices, squared_distances };
        let links = Links::new(&neighbors).unwrap();
        assert_eq!(links.row(1).collect::<Vec<_>>(), [(0, 0.3), (2, 0.4)]);
        let incoming = Incoming::new(&links);
        let rows: Vec<&[Link]> = (0..3).map(|row| incoming.row(row)).collect();
        assert_eq!(rows, [[(1, 0.3), (2, 0.6)], [(0, 0.1), (2, 0.5)], [(0, 0.2), (1, 0.4)]]);
    }

    #[test]
    fn lists_are_merged_in_ascending_order() {
        let (a, b) = ([(1, 0.1), (4, 0.2)], [(0, 0.3), (1, 0.4), (7, 0.5)]);
        let merged: Vec<Link> = merge(&a, &b).collect();
        assert_eq!(merged, [(0, 0.3), (1, 0.1), (1, 0.4), (4, 0.2), (7, 0.5)]);
        assert_eq!(merge(&[], &a).collect::<Vec<_>>(), a);
    }

    #[test]
    fn the_first_impossible_row_is_named_with_its_problem() {
        for (neighbor, distance, expected) in [
            (3, 0.1, "names a sample that does not exist"),
            (1, 0.1, "names itself as a neighbour"),
            (0, -0.1, "has a squared distance that is negative, NaN or infinite"),
            (0, f32::NAN, "has a squared distance that is negative, NaN or infinite"),
            (0, f32::INFINITY, "has a squared distance that is negative, NaN or infinite"),
        ] {
            let error = refused(array![[1], [neighbor], [2]], array![[0.5], [distance], [0.5]]);
            assert!(
                matches!(error, ClusteringError::InvalidNeighbor { row: 1, problem } if problem == expected),
                "{error}"
            );
        }
        let error = refused(array![[1], [0]], array![[0.5], [0.5], [0.5]]);
        assert!(matches!(error, ClusteringError::DimensionMismatch { expected: 2, actual: 3, .. }));
        let error = refused(array![[1], [0]], array![[0.5, 0.5], [0.5, 0.5]]);
        assert!(matches!(error, ClusteringError::DimensionMismatch { expected: 1, actual: 2, .. }));
    }
}
