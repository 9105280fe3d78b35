//! Exact search of the nearest rows: the common core of the assignment step of k-means and of nearest
//! neighbours.
//!
//! With the score `||c||^2 - 2 <x, c>`, which is the squared distance less `||x||^2`, a block of rows goes
//! through up to three sieves:
//!
//! 1. Inner products of 8-bit integers, where the processor is fast at them. Every score has a rigorous bound
//!    of its error, so that all but a few rows of the database are ruled out for certain.
//! 2. Rows that are left with too many candidates are scanned in single precision, again with a bound.
//! 3. The distances to the candidates that are left are compared in double precision.
//!
//! So the result is that of a scan in double precision, whatever the instructions: the same on every
//! processor.

mod block;
mod candidates;
pub(crate) mod database;
mod quantize;

use std::cmp::Ordering;

use crate::rows::distance::squared_distance;
use crate::scan::database::Database;
use block::{Block, BlockScratch};

/// Rows scanned together: they stay in the cache while the database passes by. A multiple of the rows of a
/// tile.
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

    /// Finds the nearest database row of each of `rows`, `[out.len(), dim]`; the lowest index among equals.
    /// `guess` may name a near row for each: a good guess saves time. For a `count` of 1.
    pub(crate) fn nearest(
        &mut self,
        rows: &[f32],
        guess: impl Fn(usize) -> Option<u32>,
        out: &mut [Nearest],
    ) {
        self.database.instructions().compile_for(
            #[inline(always)]
            || self.nearest_inlined(rows, guess, out),
        );
    }

    #[inline(always)]
    fn nearest_inlined(&mut self, rows: &[f32], guess: impl Fn(usize) -> Option<u32>, out: &mut [Nearest]) {
        let Self { database, scratch, known, .. } = self;
        known.clear();
        for (row, values) in rows.chunks_exact(database.dim()).enumerate() {
            known.push(guess(row).map(
                #[inline(always)]
                |index| measure(database, values, index),
            ));
        }
        let limit = |row: usize| known[row].map_or(f64::INFINITY, |near| near.squared_distance);
        scratch.scan(database, Block { rows, first_excluded: None }, 1, limit);
        for (row, (values, out)) in rows.chunks_exact(database.dim()).zip(out).enumerate() {
            let candidates = &scratch.candidates[row];
            *out = Nearest { index: 0, squared_distance: f64::INFINITY };
            if candidates.has_overflowed() {
                for index in 0..database.num_rows() as u32 {
                    out.improve(measure(database, values, index));
                }
            } else {
                for index in candidates.remaining() {
                    out.improve(match known[row] {
                        Some(near) if near.index == index => near,
                        _ => measure(database, values, index),
                    });
                }
            }
        }
    }

    /// Finds the `count` nearest database rows of each of `rows`, nearest first, the lowest index first among
    /// equals, into `out`, `[num_rows, count]`. With `first_excluded` the rows are those of the database from
    /// this one on, and each is left out of its own neighbours. The database has at least `count` other rows.
    pub(crate) fn nearest_several(
        &mut self,
        rows: &[f32],
        first_excluded: Option<usize>,
        out: &mut [Nearest],
    ) {
        self.database.instructions().compile_for(
            #[inline(always)]
            || self.nearest_several_inlined(rows, first_excluded, out),
        );
    }

    #[inline(always)]
    fn nearest_several_inlined(&mut self, rows: &[f32], first_excluded: Option<usize>, out: &mut [Nearest]) {
        let Self { database, count, scratch, .. } = self;
        scratch.scan(database, Block { rows, first_excluded }, *count, |_| f64::INFINITY);
        let mut ranked = Vec::new();
        let outs = out.chunks_exact_mut(*count);
        for (row, (values, out)) in rows.chunks_exact(database.dim()).zip(outs).enumerate() {
            let candidates = &scratch.candidates[row];
            ranked.clear();
            if candidates.has_overflowed() {
                let excluded = first_excluded.map(|first| (first + row) as u32);
                for index in (0..database.num_rows() as u32).filter(|&index| Some(index) != excluded) {
                    ranked.push(measure(database, values, index));
                }
            } else {
                for index in candidates.remaining() {
                    ranked.push(measure(database, values, index));
                }
            }
            ranked.sort_unstable_by(Nearest::compare);
            out.copy_from_slice(&ranked[..*count]);
        }
    }
}

impl Nearest {
    /// Takes `other` if it is nearer; rows are offered in ascending order.
    #[inline(always)]
    fn improve(&mut self, other: Self) {
        if other.squared_distance < self.squared_distance {
            *self = other;
        }
    }

    /// Nearest first, the lowest index first among equals.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.squared_distance.total_cmp(&other.squared_distance).then(self.index.cmp(&other.index))
    }
}

#[inline(always)]
fn measure(database: &Database<'_>, values: &[f32], index: u32) -> Nearest {
    Nearest { index, squared_distance: squared_distance(values, database.row(index)) }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::simd::Instructions;

    /// `[count, dim]` values of a kind that is easy or hard for the sieves.
    fn rows(kind: &str, count: usize, dim: usize, seed: u64) -> Vec<f32> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f32 { StandardNormal.sample(&mut generator) };
        let mut rows: Vec<f32> = (0..count * dim).map(|_| normal()).collect();
        let mut uniform = ChaCha8Rng::seed_from_u64(seed ^ 99);
        for (index, row) in rows.chunks_exact_mut(dim).enumerate() {
            match kind {
                "normal" => {}
                "unit rows" => {
                    let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                    row.iter_mut().for_each(|value| *value /= norm);
                }
                "far from the origin" => row.iter_mut().for_each(|value| *value += 1000.0),
                "heavy tails" => row.iter_mut().for_each(|value| *value = value.powi(9)),
                "one huge value" => row[index % dim] *= 1e6,
                "duplicates" => row.fill((index % 7) as f32),
                "all equal" => row.fill(0.1),
                "zeros" => row.fill(0.0),
                "integers" => row.iter_mut().for_each(|value| *value = value.round()),
                "denormals" => row.iter_mut().for_each(|value| *value *= 1e-42),
                "tiny" => row.iter_mut().for_each(|value| *value *= 1e-22),
                "huge" => row.iter_mut().for_each(|value| *value *= 1e16),
                "mixed sizes" => {
                    let size = 10_f32.powi(uniform.random_range(-15..15));
                    row.iter_mut().for_each(|value| *value *= size);
                }
                "almost equal" => row.iter_mut().for_each(|value| *value = 1.0 + *value * 1e-6),
                "on a line" => {
                    let position = row[0];
                    row.iter_mut().enumerate().for_each(|(l, value)| *value = position * (l + 1) as f32);
                }
                _ => panic!("no such kind"),
            }
        }
        rows
    }

    const KINDS: [&str; 15] = [
        "normal",
        "unit rows",
        "far from the origin",
        "heavy tails",
        "one huge value",
        "duplicates",
        "all equal",
        "zeros",
        "integers",
        "denormals",
        "tiny",
        "huge",
        "mixed sizes",
        "almost equal",
        "on a line",
    ];

    fn ranked(row: &[f32], database: &Database<'_>, excluded: Option<usize>) -> Vec<Nearest> {
        let others = (0..database.num_rows() as u32).filter(|&index| Some(index as usize) != excluded);
        let mut ranked: Vec<Nearest> = others
            .map(|index| Nearest { index, squared_distance: squared_distance(row, database.row(index)) })
            .collect();
        ranked.sort_by(Nearest::compare);
        ranked
    }

    fn databases(values: &[f32], dim: usize) -> Vec<Database<'_>> {
        let mut databases = Vec::new();
        for instructions in Instructions::available() {
            for use_int8 in [true, false] {
                databases.push(Database::new(values, dim, instructions, use_int8));
            }
        }
        databases
    }

    #[test]
    fn the_nearest_row_is_that_of_a_scan_in_double_precision_whatever_the_distribution_and_instructions() {
        for kind in KINDS {
            for (num_rows, num_queries, dim) in [(1, 3, 1), (33, 13, 5), (150, 200, 48)] {
                let (values, queries) = (rows(kind, num_rows, dim, 1), rows(kind, num_queries, dim, 2));
                for database in databases(&values, dim) {
                    let expected: Vec<Nearest> =
                        queries.chunks_exact(dim).map(|row| ranked(row, &database, None)[0]).collect();
                    let none = Nearest { index: 9, squared_distance: -1.0 };
                    // Without a guess, with a wrong one, and with a right one.
                    let guesses: [&dyn Fn(usize) -> Option<u32>; 3] =
                        [&|_| None, &|row| Some((row % num_rows) as u32), &|row| Some(expected[row].index)];
                    for guess in guesses {
                        let mut found = vec![none; num_queries];
                        Scan::new(&database, 1).nearest(&queries, guess, &mut found);
                        assert_eq!(found, expected, "{kind}, {:?}", database.instructions());
                    }
                }
            }
        }
    }

    #[test]
    fn several_nearest_rows_are_those_of_a_scan_in_double_precision() {
        for kind in KINDS {
            for (num_rows, dim, count) in [(2, 3, 1), (60, 5, 59), (150, 48, 5)] {
                let values = rows(kind, num_rows, dim, 1);
                for database in databases(&values, dim) {
                    let mut found = vec![Nearest { index: 0, squared_distance: 0.0 }; num_rows * count];
                    Scan::new(&database, count).nearest_several(&values, Some(0), &mut found);
                    for (row, found) in found.chunks_exact(count).enumerate() {
                        let expected = ranked(&values[row * dim..][..dim], &database, Some(row));
                        assert_eq!(found, &expected[..count], "{kind}, {:?}", database.instructions());
                    }
                }
            }
        }
    }

    #[test]
    fn integers_are_given_up_where_they_rule_nothing_out() {
        let dim = 32;
        let values = rows("almost equal", 2000, dim, 1);
        let database = Database::new(&values, dim, Instructions::best(), true);
        let mut found = vec![Nearest { index: 0, squared_distance: 0.0 }; 192];
        let mut scan = Scan::new(&database, 1);
        scan.nearest(&values[..192 * dim], |_| None, &mut found);
        assert!(found.iter().enumerate().all(|(row, near)| near.index as usize == row));
        assert!(database.int8_if_it_pays().is_none());
        let values = rows("unit rows", 2000, dim, 1);
        let database = Database::new(&values, dim, Instructions::best(), true);
        Scan::new(&database, 1).nearest(&values[..192 * dim], |_| None, &mut found);
        assert!(database.int8_if_it_pays().is_some());
    }
}
