//! The weighted neighbour graph and the power iteration on it.

use rayon::prelude::*;

use super::links::{Incoming, Link, Links};
use crate::error::ClusteringError;
use crate::knn::Neighbors;
use crate::simd::Instructions;

const ROWS_PER_TASK: usize = 1024;

/// The symmetric matrix `W = A + A^T`, row by row: the columns of each row in ascending order, with their
/// weights.
pub(super) struct Graph {
    /// Where the room of each row begins, and the end. A row has room for all its links, before equal ones
    /// are joined.
    offsets: Vec<usize>,
    lengths: Vec<u32>,
    columns: Vec<u32>,
    weights: Vec<f64>,
}

impl Graph {
    /// Links each sample with its neighbours; two samples that are neighbours of each other get both weights.
    pub(super) fn new(neighbors: &Neighbors, kernel_bandwidth: f64) -> Result<Self, ClusteringError> {
        let links = Links::new(neighbors)?;
        let (num_rows, num_neighbors) = (links.num_rows, links.num_neighbors);
        let incoming = Incoming::new(&links, ROWS_PER_TASK);
        let num_links = 2 * num_rows * num_neighbors;
        let (mut offsets, mut lengths) = (vec![0; num_rows + 1], vec![0; num_rows]);
        let (mut columns, mut weights) = (vec![0; num_links], vec![0.0; num_links]);
        let mut tasks = Vec::with_capacity(num_rows.div_ceil(ROWS_PER_TASK));
        let (mut free_columns, mut free_weights) = (&mut columns[..], &mut weights[..]);
        let rows = offsets[..num_rows].chunks_mut(ROWS_PER_TASK).zip(lengths.chunks_mut(ROWS_PER_TASK));
        for (block, (offsets, lengths)) in rows.enumerate() {
            let begin = num_links - free_columns.len();
            let size = incoming.num_links(block) + lengths.len() * num_neighbors;
            let (columns, weights);
            (columns, free_columns) = free_columns.split_at_mut(size);
            (weights, free_weights) = free_weights.split_at_mut(size);
            tasks.push(BlockOfRows { block, begin, offsets, lengths, columns, weights });
        }
        tasks.into_par_iter().for_each_init(Scratch::default, |scratch, rows| {
            rows.fill(&links, &incoming, kernel_bandwidth, scratch)
        });
        offsets[num_rows] = num_links;
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

    /// `v <- u / ||u||_1` with `u = damping W v + (1 - damping) / n`, from `v = 1/n`: at most
    /// `num_iterations` times, or until the bits no longer change, after which they never would.
    /// `[num_rows]`.
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

/// The rows of one task, and their room in the matrix.
struct BlockOfRows<'a> {
    block: usize,
    /// Where the room begins in the matrix.
    begin: usize,
    offsets: &'a mut [usize],
    lengths: &'a mut [u32],
    columns: &'a mut [u32],
    weights: &'a mut [f64],
}

#[derive(Default)]
struct Scratch {
    incoming_offsets: Vec<usize>,
    incoming: Vec<Link>,
    row: Vec<(u32, f64)>,
}

impl BlockOfRows<'_> {
    /// Joins the links of each row in both directions.
    fn fill(self, links: &Links<'_>, incoming: &Incoming, bandwidth: f64, scratch: &mut Scratch) {
        let Self { block, begin, offsets, lengths, mut columns, mut weights } = self;
        let first_row = block * ROWS_PER_TASK;
        incoming.write_block(block, lengths.len(), &mut scratch.incoming_offsets, &mut scratch.incoming);
        let outgoing_weights =
            weights_of((first_row..first_row + lengths.len()).flat_map(|row| links.row(row)), bandwidth);
        let incoming_weights = weights_of(scratch.incoming.iter().copied(), bandwidth);
        let num_links = columns.len();
        for (index, (offset, length)) in offsets.iter_mut().zip(lengths).enumerate() {
            let outgoing = &outgoing_weights[index * links.num_neighbors..][..links.num_neighbors];
            scratch.row.clear();
            scratch.row.extend(
                links.row(first_row + index).zip(outgoing).map(|((column, _), &weight)| (column, weight)),
            );
            let range = scratch.incoming_offsets[index]..scratch.incoming_offsets[index + 1];
            let sources = scratch.incoming[range.clone()].iter().map(|&(source, _)| source);
            scratch.row.extend(sources.zip(incoming_weights[range].iter().copied()));
            // Stable: where a sample is linked in both directions, the outgoing weight is the first term.
            scratch.row.sort_by_key(|&(column, _)| column);
            *offset = begin + num_links - columns.len();
            let (own_columns, own_weights);
            (own_columns, columns) = columns.split_at_mut(scratch.row.len());
            (own_weights, weights) = weights.split_at_mut(scratch.row.len());
            let mut num_columns = 0;
            for &(column, weight) in &scratch.row {
                if num_columns > 0 && own_columns[num_columns - 1] == column {
                    own_weights[num_columns - 1] += weight;
                } else {
                    // Written before it is read: a fresh page that is read first costs the system more.
                    own_weights[num_columns] = weight;
                    own_columns[num_columns] = column;
                    num_columns += 1;
                }
            }
            *length = num_columns as u32; // at most num_rows
        }
    }
}

/// The weights `exp(-squared_distance / bandwidth^2)` of the links.
fn weights_of(links: impl Iterator<Item = Link>, bandwidth: f64) -> Vec<f64> {
    let mut weights: Vec<f64> = links.map(|(_, distance)| f64::from(distance)).collect();
    Instructions::best().compile_for(
        #[inline(always)]
        || {
            for value in &mut weights {
                *value = kernel(*value, bandwidth);
            }
        },
    );
    weights
}

/// `exp(-squared_distance / bandwidth^2)`, also where the square of the bandwidth is out of range; 0 below
/// `1e-300`.
#[inline(always)]
fn kernel(squared_distance: f64, bandwidth: f64) -> f64 {
    exp_of_negative(-squared_distance / bandwidth / bandwidth)
}

/// `exp(x)` for `x <= 0` in plain arithmetic, which compilers turn into vector instructions and every
/// processor computes alike; off by less than `3e-16` of the value. 0 for `x` below -690.
#[inline(always)]
fn exp_of_negative(x: f64) -> f64 {
    /// `x + ROUNDER` has `x`, rounded to an integer, in its lowest bits.
    const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    /// `ln 2`, cut off after 32 bits, and the rest.
    const LN_2: (f64, f64) = (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10);
    let clamped = if x > -690.0 { x } else { -690.0 };
    // x = exponent * ln 2 + rest, with a rest of at most 0.35.
    let shifted = clamped * std::f64::consts::LOG2_E + ROUNDER;
    let exponent = shifted - ROUNDER;
    let rest = (clamped - exponent * LN_2.0) - exponent * LN_2.1;
    // The Taylor series to the 13th power: what is left out is below 1e-17.
    let mut sum = INVERSE_FACTORIALS[13];
    for power in (0..13).rev() {
        sum = sum * rest + INVERSE_FACTORIALS[power];
    }
    let power_of_two = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x > -690.0 { sum * power_of_two } else { 0.0 }
}

const INVERSE_FACTORIALS: [f64; 14] = {
    let mut values = [1.0; 14];
    let mut power = 1;
    while power < 14 {
        values[power] = values[power - 1] / power as f64;
        power += 1;
    }
    values
};

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
    fn the_exponential_is_that_of_the_standard_library_up_to_rounding() {
        for step in 0..2_000_000 {
            let x = -f64::from(step) * 3.4e-4;
            let expected = x.exp();
            assert!((exp_of_negative(x) - expected).abs() <= 4e-16 * expected, "exp({x})");
        }
        for x in [-1e9, -691.0, f64::NEG_INFINITY] {
            assert_eq!(exp_of_negative(x), 0.0);
        }
        assert_eq!((exp_of_negative(0.0), exp_of_negative(-0.0), exp_of_negative(-1e-320)), (1.0, 1.0, 1.0));
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
