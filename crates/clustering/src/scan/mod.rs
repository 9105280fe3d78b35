//! Exact search of the nearest rows: the common core of the assignment step of k-means and of nearest neighbours.
//!
//! With the score `||c||^2 - 2 <x, c>`, which is the squared distance less `||x||^2`, a block of rows goes through
//! up to three sieves:
//!
//! 1. Inner products of 8-bit integers, where the processor is fast at them. Every score has a rigorous bound of its
//!    error, so that all but a few rows of the database are ruled out for certain.
//! 2. Rows that are left with too many candidates are scanned in single precision, again with a bound.
//! 3. The distances to the candidates that are left are compared in double precision.
//!
//! So the result is that of a scan in double precision, whatever the instructions: the same on every processor.

mod block;
mod candidates;
mod database;
mod kernels;
mod quantize;

pub(crate) use database::Database;
pub(crate) use kernels::Instructions;

use crate::feature_matrix::squared_distance;
use block::{Block, BlockScratch};

/// Rows scanned together: they stay in the cache while the database passes by. A multiple of the rows of a tile.
pub(crate) const ROWS_PER_BLOCK: usize = 192;

/// A row of the database and the squared distance to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Nearest {
    pub(crate) index: u32,
    pub(crate) squared_distance: f64,
}

/// A scan with the memory it needs, for one thread.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    database: &'a Database<'a>,
    count: usize,
    scratch: BlockScratch,
    known: Vec<Option<Nearest>>,
}

impl<'a> Scan<'a> {
    /// For the `count` nearest rows, at least 1 and at most those of the database.
    pub(crate) fn new(database: &'a Database<'a>, count: usize) -> Self {
        Self { database, count, scratch: BlockScratch::default(), known: Vec::new() }
    }

    /// Finds the nearest database row of each of `rows`, `[out.len(), dim]`; the lowest index among equals. `guess`
    /// may name a near row for each: a good guess saves time. For a `count` of 1.
    pub(crate) fn nearest(&mut self, rows: &[f32], guess: impl Fn(usize) -> Option<u32>, out: &mut [Nearest]) {
        let Self { database, scratch, known, .. } = self;
        database.instructions().compile_for(
            #[inline(always)]
            || {
                let dim = database.dim();
                known.clear();
                known.extend(rows.chunks_exact(dim).enumerate().map(|(row, values)| {
                    guess(row).map(|index| Nearest {
                        index,
                        squared_distance: squared_distance(values, database.row(index)),
                    })
                }));
                let block = Block { rows, first_excluded: None };
                let limit = |row: usize| known[row].map_or(f64::INFINITY, |near| near.squared_distance);
                scratch.scan(database, block, 1, limit);
                for (row, (values, out)) in rows.chunks_exact(dim).zip(out).enumerate() {
                    let candidates = &scratch.candidates[row];
                    let distance = |index| match known[row] {
                        Some(near) if near.index == index => near.squared_distance,
                        _ => squared_distance(values, database.row(index)),
                    };
                    *out = if candidates.has_overflowed() {
                        nearest_of(0..database.num_rows() as u32, distance)
                    } else {
                        nearest_of(candidates.remaining(), distance)
                    };
                }
            },
        );
    }

    /// Finds the `count` nearest database rows of each of `rows`, nearest first, the lowest index first among equals,
    /// into `out`, `[num_rows, count]`. With `first_excluded` the rows are those of the database from this one on, and
    /// each is left out of its own neighbours. The database has at least `count` other rows.
    pub(crate) fn nearest_several(
        &mut self,
        rows: &[f32],
        first_excluded: Option<usize>,
        out: &mut [Nearest],
    ) {
        let Self { database, count, scratch, .. } = self;
        let count = *count;
        database.instructions().compile_for(
            #[inline(always)]
            || {
                let dim = database.dim();
                scratch.scan(database, Block { rows, first_excluded }, count, |_| f64::INFINITY);
                let mut ranked = Vec::new();
                for (row, (values, out)) in rows.chunks_exact(dim).zip(out.chunks_exact_mut(count)).enumerate() {
                    let candidates = &scratch.candidates[row];
                    let near = |index| Nearest {
                        index,
                        squared_distance: squared_distance(values, database.row(index)),
                    };
                    ranked.clear();
                    if candidates.has_overflowed() {
                        let excluded = first_excluded.map(|first| (first + row) as u32);
                        let others = (0..database.num_rows() as u32).filter(|&index| Some(index) != excluded);
                        ranked.extend(others.map(near));
                    } else {
                        ranked.extend(candidates.remaining().map(near));
                    }
                    ranked.sort_unstable_by(|a, b| {
                        a.squared_distance.total_cmp(&b.squared_distance).then(a.index.cmp(&b.index))
                    });
                    out.copy_from_slice(&ranked[..count]);
                }
            },
        );
    }
}

/// The nearest of `indices`, which ascend.
#[inline(always)]
fn nearest_of(indices: impl Iterator<Item = u32>, distance: impl Fn(u32) -> f64) -> Nearest {
    let mut nearest = Nearest { index: 0, squared_distance: f64::INFINITY };
    for index in indices {
        let squared_distance = distance(index);
        if squared_distance < nearest.squared_distance {
            nearest = Nearest { index, squared_distance };
        }
    }
    nearest
}
