//! The weighted neighbour graph and the power iteration on it.

use rayon::prelude::*;

use super::links::{Incoming, Links, merge};
use crate::{ClusteringError, Neighbors};

const ROWS_PER_TASK: usize = 1024;

/// The symmetric matrix `W = A + A^T`, row by row: the columns of each row in ascending order, with their weights.
pub(super) struct Graph {
    /// Where the room of each row begins, and the end. A row has room for all its links, before equal ones are joined.
    offsets: Vec<usize>,
    lengths: Vec<u32>,
    columns: Vec<u32>,
    weights: Vec<f64>,
}

impl Graph {
    /// Links each sample with its neighbours; two samples that are neighbours of each other get both weights.
    pub(super) fn new(neighbors: &Neighbors, kernel_bandwidth: f64) -> Result<Self, ClusteringError> {
        let links = Links::new(neighbors)?;
        let num_rows = links.num_rows;
        let incoming = Incoming::new(&links);
        let offsets: Vec<usize> = incoming
            .offsets
            .iter()
            .enumerate()
            .map(|(row, &begin)| begin + row * links.num_neighbors)
            .collect();
        let (mut lengths, mut columns) = (vec![0; num_rows], vec![0; offsets[num_rows]]);
        let mut weights = vec![0.0; offsets[num_rows]];
        let mut tasks = Vec::with_capacity(num_rows.div_ceil(ROWS_PER_TASK));
        let (mut free_columns, mut free_weights) = (&mut columns[..], &mut weights[..]);
        for (first_row, lengths) in (0..).step_by(ROWS_PER_TASK).zip(lengths.chunks_mut(ROWS_PER_TASK)) {
            let size = offsets[first_row + lengths.len()] - offsets[first_row];
            let (columns, weights);
            (columns, free_columns) = free_columns.split_at_mut(size);
            (weights, free_weights) = free_weights.split_at_mut(size);
            tasks.push((first_row, lengths, columns, weights));
        }
        tasks.into_par_iter().for_each(|(first_row, lengths, mut columns, mut weights)| {
            let mut outgoing = Vec::with_capacity(links.num_neighbors);
            for (row, length) in (first_row..).zip(lengths) {
                outgoing.clear();
                outgoing.extend(links.row(row));
                outgoing.sort_by_key(|&(column, _)| column);
                let size = offsets[row + 1] - offsets[row];
                let (own_columns, own_weights);
                (own_columns, columns) = columns.split_at_mut(size);
                (own_weights, weights) = weights.split_at_mut(size);
                let mut last = None;
                let mut num_columns = 0;
                for (column, distance) in merge(&outgoing, incoming.row(row)) {
                    let weight = kernel(distance, kernel_bandwidth);
                    if last == Some(column) {
                        own_weights[num_columns - 1] += weight;
                    } else {
                        // Written before it is read: a fresh page that is read first costs the system more.
                        own_weights[num_columns] = weight;
                        own_columns[num_columns] = column;
                        last = Some(column);
                        num_columns += 1;
                    }
                }
                *length = num_columns as u32; // at most num_rows
            }
        });
        Ok(Self { offsets, lengths, columns, weights })
    }

    pub(super) fn num_rows(&self) -> usize {
        self.lengths.len()
    }

    /// The columns of `row` in ascending order with their weights.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (u32, f64)> {
        let range = self.offsets[row]..self.offsets[row] + self.lengths[row] as usize;
        self.columns[range.clone()].iter().copied().zip(self.weights[range].iter().copied())
    }

    /// Writes `map(row, (W values)[row])` to `out`, for each row.
    pub(super) fn multiply(&self, values: &[f64], out: &mut [f64], map: impl Fn(usize, f64) -> f64 + Sync) {
        out.par_chunks_mut(ROWS_PER_TASK).enumerate().for_each(|(task, out)| {
            for (row, out) in (task * ROWS_PER_TASK..).zip(out) {
                let sum = self.row(row).map(|(column, weight)| weight * values[column as usize]).sum();
                *out = map(row, sum);
            }
        });
    }

    /// `v <- u / ||u||_1` with `u = damping W v + (1 - damping) / n`, from `v = 1/n`: at most `num_iterations` times,
    /// or until the bits stay the same, after which they would for ever. `[num_rows]`.
    pub(super) fn iterate(&self, damping: f64, num_iterations: usize) -> Vec<f64> {
        let num_rows = self.num_rows();
        let constant = (1.0 - damping) / num_rows as f64;
        let mut values = vec![1.0 / num_rows as f64; num_rows];
        let mut next = vec![0.0; num_rows];
        for _ in 0..num_iterations {
            self.multiply(&values, &mut next, |_, sum| damping * sum + constant);
            let norm: f64 = next.iter().sum(); // all are positive
            next.iter_mut().for_each(|value| *value /= norm);
            std::mem::swap(&mut values, &mut next);
            if values == next {
                break;
            }
        }
        values
    }
}

/// `exp(-squared_distance / bandwidth^2)`, also where the square of the bandwidth is out of range.
fn kernel(squared_distance: f32, bandwidth: f64) -> f64 {
    (-f64::from(squared_distance) / bandwidth / bandwidth).exp()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn mutual_neighbours_are_linked_twice_and_one_sided_ones_in_both_directions() {
        let neighbors =
            Neighbors { indices: array![[1], [0], [1]], squared_distances: array![[0.0], [0.0], [1.0]] };
        let graph = Graph::new(&neighbors, 1.0).unwrap();
        let weight = (-1.0_f64).exp();
        let rows: Vec<Vec<(u32, f64)>> = (0..3).map(|row| graph.row(row).collect()).collect();
        assert_eq!(rows, [vec![(1, 2.0)], vec![(0, 2.0), (2, weight)], vec![(1, weight)]]);
    }

    #[test]
    fn one_power_iteration_gives_hand_computed_values() {
        let neighbors =
            Neighbors { indices: array![[1], [0], [1]], squared_distances: array![[0.0], [0.0], [0.0]] };
        // W = [[0, 2, 0], [2, 0, 1], [0, 1, 0]], row sums 2, 3, 1: u = (1 + 2, 1 + 3, 1 + 1) / 6
        let values = Graph::new(&neighbors, 1.0).unwrap().iterate(0.5, 1);
        for (value, expected) in values.iter().zip([3.0 / 9.0, 4.0 / 9.0, 2.0 / 9.0]) {
            assert!((value - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn the_iteration_ends_in_a_fixed_point() {
        let neighbors =
            Neighbors { indices: array![[1], [0], [1]], squared_distances: array![[0.1], [0.1], [0.3]] };
        let graph = Graph::new(&neighbors, 1.0).unwrap();
        assert_eq!(graph.iterate(0.001, 50), graph.iterate(0.001, 5000));
    }

    #[test]
    fn extreme_bandwidths_give_weights_between_zero_and_one() {
        assert_eq!(kernel(0.0, 1e-300), 1.0);
        assert_eq!(kernel(1.0, 1e-300), 0.0);
        assert_eq!(kernel(1.0, 1e300), 1.0);
        // exp(-0.04 / 0.2^2)
        assert!((kernel(0.04, 0.2) - (-1.0_f64).exp()).abs() < 1e-7);
    }
}
