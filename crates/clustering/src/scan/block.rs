//! The scan of a block of rows over the whole database.

use super::candidates::{Candidate, Candidates};
use super::database::{Database, Int8Panels};
use super::kernels::{F32Tile, Int8Tile, PANEL, TILE_ROWS, TileProducts, TileScores};
use super::quantize::quantize;
use crate::feature_matrix::squared_norm;
use crate::matmul::score_rounding_bound;

/// Roundings of scores and bounds in single precision that the bound of an integer score allows for.
const SLACK: f32 = 64.0 * f32::EPSILON / 2.0;

/// A block of query rows, `[num_rows, dim]`.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) rows: &'a [f32],
    /// The first query is this row of the database, the others follow; each is left out of its own neighbours.
    pub(super) first_excluded: Option<usize>,
}

/// Memory that is used again from block to block.
#[derive(Debug, Default)]
pub(super) struct BlockScratch {
    pub(super) candidates: Vec<Candidates>,
    integers: Vec<i8>,
    terms: Vec<[RowTerms; TILE_ROWS]>,
    scores: TileScores,
    padded_rows: Vec<f32>,
    overflowed: Vec<usize>,
}

/// What the scores of a tile of rows and their bounds are made of, all in single precision:
/// `error[i][j] = double_error[i] * norm[j] + double_norm[i] * error[j] + slack[i]`.
#[derive(Debug, Clone, Copy, Default)]
struct RowTerms {
    double_scale: f32,
    start: i32,
    double_error: f32,
    double_norm: f32,
    slack: f32,
}

impl BlockScratch {
    /// Fills `candidates` with at least the `count` nearest database rows of every row of `block`; those that have
    /// overflowed even in single precision say so. `score_limit`, given a row and the square of its norm (from
    /// below), is a bound of the score of the nearest row, for `count` of 1.
    #[inline(always)]
    pub(super) fn scan(
        &mut self,
        database: &Database<'_>,
        block: Block<'_>,
        count: usize,
        distance_limit: impl Fn(usize) -> f64,
    ) {
        let dim = database.dim();
        let num_rows = block.rows.len() / dim;
        while self.candidates.len() < num_rows {
            self.candidates.push(Candidates::new(count));
        }
        self.overflowed.clear();
        match database.int8_if_it_pays() {
            Some(panels) => {
                self.scan_int8(database, panels, block, distance_limit);
                let overflowed = (0..num_rows).filter(|&row| self.candidates[row].has_overflowed());
                self.overflowed.extend(overflowed);
                database.note_scan(num_rows, self.overflowed.len());
            }
            None => self.overflowed.extend(0..num_rows),
        }
        if !self.overflowed.is_empty() {
            self.scan_f32(database, block);
        }
    }

    #[inline(always)]
    fn scan_int8(
        &mut self,
        database: &Database<'_>,
        panels: &Int8Panels,
        block: Block<'_>,
        distance_limit: impl Fn(usize) -> f64,
    ) {
        let (dim, row_len) = (database.dim(), panels.row_len);
        let num_tiles = (block.rows.len() / dim).div_ceil(TILE_ROWS);
        self.integers.clear();
        self.integers.resize(num_tiles * TILE_ROWS * row_len, 0);
        self.terms.clear();
        self.terms.resize(num_tiles, [RowTerms::default(); TILE_ROWS]);
        let underflow = dim as f32 * f32::MIN_POSITIVE;
        let rows = block.rows.chunks_exact(dim).zip(self.integers.chunks_exact_mut(row_len));
        for (index, (row, integers)) in rows.enumerate() {
            let quantized = quantize(row, integers);
            let slack = SLACK * (quantized.norm + database.largest_norm).powi(2) + underflow;
            self.terms[index / TILE_ROWS][index % TILE_ROWS] = RowTerms {
                double_scale: 2.0 * quantized.scale,
                start: -128 * quantized.sum,
                double_error: 2.0 * quantized.error,
                double_norm: 2.0 * quantized.rounded_norm,
                slack,
            };
            // ||x - c||^2 - ||x||^2 is the score of c.
            let limit = distance_limit(index) as f32 - quantized.least_squared_norm + slack;
            self.candidates[index].reset(limit);
        }
        for panel in 0..panels.terms.len() {
            for tile in 0..num_tiles {
                self.scan_int8_tile(database, panels, panel, tile, block);
            }
        }
    }

    #[inline(always)]
    fn scan_int8_tile(
        &mut self,
        database: &Database<'_>,
        panels: &Int8Panels,
        panel: usize,
        tile: usize,
        block: Block<'_>,
    ) {
        let row_len = panels.row_len;
        let columns = &panels.terms[panel];
        let rows = &self.terms[tile];
        let first_row = tile * TILE_ROWS;
        let num_rows = (block.rows.len() / database.dim() - first_row).min(TILE_ROWS);
        let candidates = &mut self.candidates[first_row..][..num_rows];
        let mut limits = [f32::NEG_INFINITY; TILE_ROWS];
        for ((limit, terms), candidates) in limits.iter_mut().zip(rows).zip(candidates.iter()) {
            *limit = candidates.limit()
                + (terms.double_error * columns.largest_norm
                    + terms.double_norm * columns.largest_error
                    + terms.slack);
        }
        let inputs = Int8Tile {
            rows: &self.integers[first_row * row_len..][..TILE_ROWS * row_len],
            panel: &panels.values[panel * PANEL * row_len..][..PANEL * row_len],
            starts: &rows.map(|terms| terms.start),
            double_scales: &rows.map(|terms| terms.double_scale),
            limits: &limits,
            scales: &columns.scales,
            squared_norms: &database.squared_norms[panel],
        };
        database.instructions().int8_tile(&inputs, &mut self.scores);
        for (row, candidates) in candidates.iter_mut().enumerate() {
            let [low, high] = self.scores.masks[row];
            let mut mask = u32::from(low) | (u32::from(high) << 16);
            while mask != 0 {
                let column = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let score = self.scores.scores[row][column];
                let error = rows[row].double_error * columns.norms[column]
                    + rows[row].double_norm * columns.errors[column]
                    + rows[row].slack;
                offer(candidates, database, block, first_row + row, panel * PANEL + column, score, error);
            }
        }
    }

    /// Scans the rows that have overflowed, or all, in single precision.
    #[inline(always)]
    fn scan_f32(&mut self, database: &Database<'_>, block: Block<'_>) {
        let dim = database.dim();
        let num_tiles = self.overflowed.len().div_ceil(TILE_ROWS);
        self.padded_rows.clear();
        for &row in &self.overflowed {
            self.padded_rows.extend_from_slice(&block.rows[row * dim..][..dim]);
            self.candidates[row].reset(f32::INFINITY);
        }
        self.padded_rows.resize(num_tiles * TILE_ROWS * dim, 0.0);
        let errors: Vec<f32> = self
            .padded_rows
            .chunks_exact(dim)
            .map(|row| {
                let norm = squared_norm(row).sqrt();
                let bound = score_rounding_bound(dim, norm, f64::from(database.largest_norm));
                (bound * (1.0 + 1e-6)) as f32 + SLACK * (norm as f32 + database.largest_norm).powi(2)
            })
            .collect();
        let mut products: TileProducts = [[0.0; PANEL]; TILE_ROWS];
        for (panel, values) in database.f32_panels().chunks_exact(PANEL * dim).enumerate() {
            let squared_norms = &database.squared_norms[panel];
            for (tile, rows) in self.overflowed.chunks(TILE_ROWS).enumerate() {
                let first = tile * TILE_ROWS;
                let inputs =
                    F32Tile { rows: &self.padded_rows[first * dim..][..TILE_ROWS * dim], panel: values };
                database.instructions().f32_tile(&inputs, &mut products);
                for ((&row, products), &error) in rows.iter().zip(&products).zip(&errors[first..]) {
                    let candidates = &mut self.candidates[row];
                    let limit = candidates.limit() + error;
                    let mut scores = [0.0; PANEL];
                    let mut any = false;
                    for column in 0..PANEL {
                        scores[column] = squared_norms[column] - 2.0 * products[column];
                        any |= scores[column] <= limit;
                    }
                    if any {
                        for (column, &score) in scores.iter().enumerate() {
                            offer(candidates, database, block, row, panel * PANEL + column, score, error);
                        }
                    }
                }
            }
        }
    }
}

/// Takes a score into account that is off by at most `error`, unless it is that of padding or of the row itself.
#[inline]
fn offer(
    candidates: &mut Candidates,
    database: &Database<'_>,
    block: Block<'_>,
    row: usize,
    index: usize,
    score: f32,
    error: f32,
) {
    let is_excluded = block.first_excluded.is_some_and(|first| first + row == index);
    if index < database.num_rows() && !is_excluded {
        candidates.push(Candidate { lower: score - error, upper: score + error, index: index as u32 });
    }
}
