//! The links of a neighbour graph in both directions.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::error::ClusteringError;
use crate::knn::Neighbors;

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

/// The links of a graph turned around, by blocks of the samples to which they lead.
pub(super) struct Incoming {
    rows_per_block: usize,
    /// The links found in each part of the graph, in the order of the parts.
    parts: Vec<Part>,
}

/// The links of a range of samples.
struct Part {
    /// Where the links to each block begin, and the end.
    offsets: Vec<usize>,
    /// The sample to which a link leads, and that from which it comes.
    links: Vec<(u32, Link)>,
}

impl Incoming {
    /// Blocks of `rows_per_block` samples, few enough that a cache holds what is said of a block.
    pub(super) fn new(links: &Links<'_>, rows_per_block: usize) -> Self {
        // How many parts there are leaves no trace: the links to a sample stay in the order of their sources.
        let rows_per_part = links.num_rows.div_ceil(rayon::current_num_threads()).max(1);
        let parts = (0..links.num_rows)
            .into_par_iter()
            .step_by(rows_per_part)
            .map(|first| Part::new(links, first..links.num_rows.min(first + rows_per_part), rows_per_block))
            .collect();
        Self { rows_per_block, parts }
    }

    /// Number of links to the samples of a block.
    pub(super) fn num_links(&self, block: usize) -> usize {
        self.parts.iter().map(|part| part.block(block).len()).sum()
    }

    /// Writes where the links to each of the `num_rows` samples of a block begin in `links`, and the end, to
    /// `offsets`; those to a sample are in ascending order.
    pub(super) fn write_block(
        &self,
        block: usize,
        num_rows: usize,
        offsets: &mut Vec<usize>,
        links: &mut Vec<Link>,
    ) {
        let first = block * self.rows_per_block;
        let links_to_block = || self.parts.iter().flat_map(|part| part.block(block));
        offsets.clear();
        offsets.resize(num_rows + 2, 0);
        for &(row, _) in links_to_block() {
            offsets[row as usize - first + 2] += 1;
        }
        for index in 2..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        // While the links are laid out, entry i + 1 is where the next one to sample i goes.
        links.clear();
        links.resize(offsets[num_rows + 1], (0, 0.0));
        for &(row, link) in links_to_block() {
            let next = &mut offsets[row as usize - first + 1];
            links[*next] = link;
            *next += 1;
        }
        offsets.pop();
    }
}

impl Part {
    fn new(links: &Links<'_>, rows: Range<usize>, rows_per_block: usize) -> Self {
        let num_blocks = links.num_rows.div_ceil(rows_per_block);
        let mut offsets = vec![0; num_blocks + 2];
        for row in rows.clone() {
            for (neighbor, _) in links.row(row) {
                offsets[neighbor as usize / rows_per_block + 2] += 1;
            }
        }
        for index in 2..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        let mut turned = vec![(0, (0, 0.0)); rows.len() * links.num_neighbors];
        for row in rows {
            for (neighbor, distance) in links.row(row) {
                let next = &mut offsets[neighbor as usize / rows_per_block + 1];
                turned[*next] = (neighbor, (row as u32, distance));
                *next += 1;
            }
        }
        offsets.pop();
        Self { offsets, links: turned }
    }

    fn block(&self, block: usize) -> &[(u32, Link)] {
        &self.links[self.offsets[block]..self.offsets[block + 1]]
    }
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
        let incoming = Incoming::new(&links, 2);
        let (mut offsets, mut found) = (Vec::new(), Vec::new());
        incoming.write_block(0, 2, &mut offsets, &mut found);
        assert_eq!(offsets, [0, 2, 4]);
        assert_eq!(found, [(1, 0.3), (2, 0.6), (0, 0.1), (2, 0.5)]);
        incoming.write_block(1, 1, &mut offsets, &mut found);
        assert_eq!((offsets, found), (vec![0, 2], vec![(0, 0.2), (1, 0.4)]));
        assert_eq!((incoming.num_links(0), incoming.num_links(1)), (4, 2));
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
