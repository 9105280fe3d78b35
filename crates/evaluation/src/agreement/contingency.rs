//! The sparse table of how often each pair of labels occurs.

use std::iter::repeat_n;

use rayon::prelude::*;

use super::labelling::Labelling;
use super::matching::largest_matching;
use super::pair_counts::count_pairs;
use crate::error::EvaluationError;

/// How many samples have label `a` in one labelling and label `b` in the other; only pairs that occur are
/// kept. One table serves all measures.
#[derive(Debug)]
pub(super) struct Contingency {
    num_samples: u64,
    cells: Vec<(u32, u32, u64)>,
    /// Where the cells of each first label begin in `cells`, and their end.
    row_offsets: Vec<usize>,
    first_sizes: Vec<u64>,
    second_sizes: Vec<u64>,
    /// For each cell the position of its second label in `second_sizes`.
    second_positions: Vec<u32>,
}

/// One pair of labels that occurs, with the sizes of its clusters in both labellings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) count: u64,
    pub(super) first_size: u64,
    pub(super) second_size: u64,
}

impl Contingency {
    /// Counts the pairs of labels of two labellings of the same samples, `[num_samples]` each. Any numbers
    /// may be labels.
    ///
    /// Costs `O(num_samples)`, or a sort of the samples if labels exceed four times their number; memory is
    /// `O(num_samples)`, never the product of the numbers of labels.
    pub(super) fn new(a: &[u32], b: &[u32]) -> Result<Self, EvaluationError> {
        let (num_samples, num_labels) = (a.len(), b.len());
        if num_samples != num_labels {
            return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
        }
        if a.is_empty() {
            return Err(EvaluationError::NoLabels { num_samples });
        }
        if u32::try_from(num_samples).is_err() {
            return Err(EvaluationError::TooManySamples { num_samples });
        }
        let (first, second) = rayon::join(|| Labelling::new(a), || Labelling::new(b));
        let parts = count_pairs(&first, &second);
        let mut row_offsets = Vec::with_capacity(first.labels.len() + 1);
        row_offsets.push(0);
        let mut num_cells = 0;
        for length in parts.iter().flat_map(|rows| &rows.lengths) {
            num_cells += length;
            row_offsets.push(num_cells);
        }
        let mut cells = vec![(0, 0, 0); num_cells];
        let mut second_positions = vec![0; num_cells];
        let mut targets = Vec::with_capacity(parts.len());
        let (mut labels, mut free_cells, mut free_positions) =
            (&first.labels[..], &mut cells[..], &mut second_positions[..]);
        for rows in &parts {
            let (own_labels, own_cells, own_positions);
            (own_labels, labels) = labels.split_at(rows.lengths.len());
            (own_cells, free_cells) = free_cells.split_at_mut(rows.counts.len());
            (own_positions, free_positions) = free_positions.split_at_mut(rows.counts.len());
            targets.push((rows, own_labels, own_cells, own_positions));
        }
        targets.into_par_iter().for_each(|(rows, labels, cells, positions)| {
            let labels =
                labels.iter().zip(&rows.lengths).flat_map(|(&label, &length)| repeat_n(label, length));
            let cells = cells.iter_mut().zip(positions);
            for ((label, &(second_position, count)), (cell, position)) in labels.zip(&rows.counts).zip(cells)
            {
                *cell = (label, second.labels[second_position as usize], u64::from(count));
                *position = second_position;
            }
        });
        Ok(Self {
            num_samples: a.len() as u64,
            cells,
            row_offsets,
            first_sizes: first.sizes,
            second_sizes: second.sizes,
            second_positions,
        })
    }

    /// Number of samples.
    pub(super) fn num_samples(&self) -> u64 {
        self.num_samples
    }

    /// Each pair of labels that occurs with its number of samples: `(a, b, count)`, in ascending order.
    pub(super) fn cells(&self) -> &[(u32, u32, u64)] {
        &self.cells
    }

    /// Number of samples of each label of the first labelling, in ascending order of the labels that occur.
    pub(super) fn first_sizes(&self) -> &[u64] {
        &self.first_sizes
    }

    /// Number of samples of each label of the second labelling, in ascending order of the labels that occur.
    pub(super) fn second_sizes(&self) -> &[u64] {
        &self.second_sizes
    }

    /// Whether the two labellings are equal up to the names of the labels.
    pub(super) fn is_same_partition(&self) -> bool {
        self.cells.len() == self.first_sizes.len() && self.cells.len() == self.second_sizes.len()
    }

    /// The cells of each label of the first labelling.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[(u32, u32, u64)]> {
        self.row_offsets.windows(2).map(|range| &self.cells[range[0]..range[1]])
    }

    /// The cells of label number `row` of the first labelling, with the sizes of their clusters.
    pub(super) fn sized_row(&self, row: usize) -> impl Iterator<Item = Cell> {
        let range = self.row_offsets[row]..self.row_offsets[row + 1];
        let first_size = self.first_sizes[row];
        self.cells[range.clone()].iter().zip(&self.second_positions[range]).map(move |(cell, &position)| {
            Cell { count: cell.2, first_size, second_size: self.second_sizes[position as usize] }
        })
    }

    /// Most samples in cells of which no two share a first or a second label.
    pub(super) fn matched_samples(&self) -> i64 {
        let (num_first, num_second) = (self.first_sizes.len(), self.second_sizes.len());
        // One search for each row, so the rows are the side with fewer labels.
        let is_transposed = num_second < num_first;
        let (num_rows, num_columns) =
            if is_transposed { (num_second, num_first) } else { (num_first, num_second) };
        let cells = || {
            let first = (0..)
                .zip(self.row_offsets.windows(2))
                .flat_map(|(i, range)| repeat_n(i, range[1] - range[0]));
            let both = first.zip(&self.second_positions).zip(&self.cells);
            both.map(move |((i, &j), cell)| if is_transposed { (j, i, cell.2) } else { (i, j, cell.2) })
        };
        let mut offsets = vec![0; num_rows + 1];
        cells().for_each(|(row, _, _)| offsets[row as usize + 1] += 1);
        for row in 0..num_rows {
            offsets[row + 1] += offsets[row];
        }
        let mut next = offsets.clone();
        let mut by_row = vec![(0, 0); self.cells.len()];
        for (row, column, count) in cells() {
            let position = &mut next[row as usize];
            by_row[*position] = (column, count as i64); // below 2^32, the limit of the number of samples
            *position += 1;
        }
        largest_matching(&offsets, &by_row, num_columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_in_ascending_order_with_the_sizes_of_both_sides() {
        let table = Contingency::new(&[5, 0, 5, 5, 0], &[2, 9, 2, 9, 9]).unwrap();
        assert_eq!(table.cells(), [(0, 9, 2), (5, 2, 2), (5, 9, 1)]);
        assert_eq!(table.first_sizes(), [2, 3]);
        assert_eq!(table.second_sizes(), [2, 3]);
        assert_eq!(table.num_samples(), 5);
        let cells = (0..2).flat_map(|row| table.sized_row(row));
        let sizes: Vec<_> = cells.map(|cell| (cell.count, cell.first_size, cell.second_size)).collect();
        assert_eq!(sizes, [(2, 2, 3), (2, 3, 2), (1, 3, 3)]);
        assert!(!table.is_same_partition());
    }

    #[test]
    fn other_names_make_no_other_partition() {
        assert!(Contingency::new(&[0, 1, 1, u32::MAX], &[7, 0, 0, 3]).unwrap().is_same_partition());
    }

    #[test]
    fn unequal_lengths_and_no_labels_are_refused() {
        assert!(matches!(
            Contingency::new(&[0, 1], &[0]),
            Err(EvaluationError::LengthMismatch { num_samples: 2, num_labels: 1 })
        ));
        assert!(matches!(Contingency::new(&[], &[]), Err(EvaluationError::NoLabels { .. })));
    }
}
