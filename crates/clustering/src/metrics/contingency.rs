//! The sparse table of how often each pair of labels occurs.

use rayon::prelude::*;

use crate::ClusteringError;

/// How many samples have label `a` in one labelling and label `b` in the other, made by [`contingency`]; only pairs
/// that occur are kept. One table serves all measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contingency {
    num_samples: u64,
    cells: Vec<(u32, u32, u64)>,
    first_sizes: Vec<u64>,
    second_sizes: Vec<u64>,
    /// For each cell the position of its second label in `second_sizes`.
    second_positions: Vec<usize>,
}

/// One pair of labels that occurs, with the sizes of its clusters in both labellings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) count: u64,
    pub(super) first_size: u64,
    pub(super) second_size: u64,
}

/// Counts the pairs of labels of two labellings of the same samples, `[num_samples]` each. Any numbers may be labels.
///
/// Costs one sort of the samples; memory is `O(num_samples)`, never the product of the numbers of labels.
///
/// # Errors
/// - [`ClusteringError::DimensionMismatch`]: the labellings differ in length.
/// - [`ClusteringError::NoLabels`]: they are empty.
pub fn contingency(a: &[u32], b: &[u32]) -> Result<Contingency, ClusteringError> {
    if a.len() != b.len() {
        return Err(ClusteringError::DimensionMismatch {
            what: "the length of the second labelling",
            expected: a.len(),
            actual: b.len(),
        });
    }
    if a.is_empty() {
        return Err(ClusteringError::NoLabels);
    }
    let mut pairs: Vec<(u32, u32)> = a.iter().copied().zip(b.iter().copied()).collect();
    pairs.par_sort_unstable(); // equal pairs cannot be told apart, so the order is unique
    let cells: Vec<(u32, u32, u64)> =
        pairs.chunk_by(|x, y| x == y).map(|run| (run[0].0, run[0].1, run.len() as u64)).collect();
    let size = |run: &[(u32, u32, u64)]| run.iter().map(|cell| cell.2).sum();
    let first_sizes = cells.chunk_by(|x, y| x.0 == y.0).map(size).collect();
    let mut by_second: Vec<usize> = (0..cells.len()).collect();
    by_second.sort_unstable_by_key(|&index| (cells[index].1, index));
    let mut second_sizes = Vec::new();
    let mut second_positions = vec![0; cells.len()];
    for run in by_second.chunk_by(|&x, &y| cells[x].1 == cells[y].1) {
        for &index in run {
            second_positions[index] = second_sizes.len();
        }
        second_sizes.push(run.iter().map(|&index| cells[index].2).sum());
    }
    Ok(Contingency { num_samples: a.len() as u64, cells, first_sizes, second_sizes, second_positions })
}

impl Contingency {
    /// Number of samples.
    pub fn num_samples(&self) -> u64 {
        self.num_samples
    }

    /// Each pair of labels that occurs with its number of samples: `(a, b, count)`, in ascending order.
    pub fn cells(&self) -> &[(u32, u32, u64)] {
        &self.cells
    }

    /// Number of samples of each label of the first labelling, in ascending order of the labels that occur.
    pub fn first_sizes(&self) -> &[u64] {
        &self.first_sizes
    }

    /// Number of samples of each label of the second labelling, in ascending order of the labels that occur.
    pub fn second_sizes(&self) -> &[u64] {
        &self.second_sizes
    }

    /// Whether the two labellings are equal up to the names of the labels.
    pub fn is_same_partition(&self) -> bool {
        self.cells.len() == self.first_sizes.len() && self.cells.len() == self.second_sizes.len()
    }

    /// The cells, grouped by the label of the first labelling.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[(u32, u32, u64)]> {
        self.cells.chunk_by(|x, y| x.0 == y.0)
    }

    /// The cells with the sizes of their clusters.
    pub(super) fn sized_cells(&self) -> impl Iterator<Item = Cell> {
        let first_sizes =
            self.rows().zip(&self.first_sizes).flat_map(|(row, &size)| row.iter().map(move |_| size));
        self.cells.iter().zip(first_sizes).zip(&self.second_positions).map(
            |((cell, first_size), &position)| Cell {
                count: cell.2,
                first_size,
                second_size: self.second_sizes[position],
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_in_ascending_order_with_the_sizes_of_both_sides() {
        let table = contingency(&[5, 0, 5, 5, 0], &[2, 9, 2, 9, 9]).unwrap();
        assert_eq!(table.cells(), [(0, 9, 2), (5, 2, 2), (5, 9, 1)]);
        assert_eq!(table.first_sizes(), [2, 3]);
        assert_eq!(table.second_sizes(), [2, 3]);
        assert_eq!(table.num_samples(), 5);
        let sizes: Vec<_> =
            table.sized_cells().map(|cell| (cell.count, cell.first_size, cell.second_size)).collect();
        assert_eq!(sizes, [(2, 2, 3), (2, 3, 2), (1, 3, 3)]);
        assert!(!table.is_same_partition());
    }

    #[test]
    fn other_names_make_no_other_partition() {
        assert!(contingency(&[0, 1, 1, u32::MAX], &[7, 0, 0, 3]).unwrap().is_same_partition());
    }

    #[test]
    fn unequal_lengths_and_no_labels_are_refused() {
        assert!(matches!(
            contingency(&[0, 1], &[0]),
            Err(ClusteringError::DimensionMismatch { expected: 2, actual: 1, .. })
        ));
        assert!(matches!(contingency(&[], &[]), Err(ClusteringError::NoLabels)));
    }
}
