//! The scan of a block of rows over the whole database.

use super::candidates::{Candidate, Candidates};
use super::database::{Database, Int8Panels};
use super::quantize::quantize;
use crate::matmul::score_rounding_bound;
use crate::rows::distance::squared_norm;
use crate::simd::{F32Tile, Int8Tile, PANEL, TILE_ROWS, TileProducts, TileScores};

/// Roundings of scores and bounds in single precision that the bound of an integer score allows for.
const SLACK: f32 = 64.0 * f32::EPSILON / 2.0;

/// A block of query rows, `[num_rows, dim]`.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) rows: &'a [f32],
    /// The first query is this row of the database, the others follow; each is left out of its own
    /// neighbours.
    pub(super) first_excluded: Option<usize>,
}

/// Memory that is used again from block to block.
#[derive(Debug, Default)]
pub(super) struct BlockScratch {
    pub(super) candidates: Vec<Candidates>,
    integers: Vec<i8>,
    terms: Vec<TileTerms>,
    scores: TileScores,
    padded_rows: Vec<f32>,
    overflowed: Vec<usize>,
}

/// The terms of the scores of a tile of rows and of their bounds, all in single precision:
/// `error[i][j] = double_errors[i] * norm[j] + double_norms[i] * error[j] + slacks[i]`.
#[derive(Debug, Clone, Copy, Default)]
struct TileTerms {
    double_scales: [f32; TILE_ROWS],
    starts: [i32; TILE_ROWS],
    double_errors: [f32; TILE_ROWS],
    double_norms: [f32; TILE_ROWS],
    slacks: [f32; TILE_ROWS],
    /// The limits of the candidates; none passes that of padding.
    limits: [f32; TILE_ROWS],
}

impl BlockScratch {
    /// Fills `candidates` with at least the `count` nearest database rows of every row of `block`; those that
    /// have overflowed even in single precision say so. `distance_limit` is a squared distance that the
    /// nearest row of each row of the block does not exceed, or infinite; it is infinite for a `count` above
    /// 1.
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
        let padding = TileTerms { limits: [f32::NEG_INFINITY; TILE_ROWS], ..Default::default() };
        self.terms.resize(num_tiles, padding);
        let underflow = dim as f32 * f32::MIN_POSITIVE;
        let rows = block.rows.chunks_exact(dim).zip(self.integers.chunks_exact_mut(row_len));
        for (index, (row, integers)) in rows.enumerate() {
            let quantized = quantize(row, integers);
            let slack = SLACK * (quantized.norm + database.largest_norm).powi(2) + underflow;
            let (terms, row) = (&mut self.terms[index / TILE_ROWS], index % TILE_ROWS);
            terms.double_scales[row] = 2.0 * quantized.scale;
            terms.starts[row] = -128 * quantized.sum;
            terms.double_errors[row] = 2.0 * quantized.error;
            terms.double_norms[row] = 2.0 * quantized.rounded_norm;
            terms.slacks[row] = slack;
            // ||x - c||^2 - ||x||^2 is the score of c.
            let limit = distance_limit(index) as f32 - quantized.least_squared_norm + slack;
            terms.limits[row] = limit;
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
        let terms = &mut self.terms[tile];
        let first_row = tile * TILE_ROWS;
        let limits: [f32; TILE_ROWS] = std::array::from_fn(
            #[inline(always)]
            |row| {
                let from_errors = terms.double_errors[row] * columns.largest_norm;
                let from_norms = terms.double_norms[row] * columns.largest_error;
                terms.limits[row] + (from_errors + from_norms + terms.slacks[row])
            },
        );
        let inputs = Int8Tile {
            rows: &self.integers[first_row * row_len..][..TILE_ROWS * row_len],
            panel: &panels.values[panel * PANEL * row_len..][..PANEL * row_len],
            starts: &terms.starts,
            double_scales: &terms.double_scales,
            limits: &limits,
            scales: &columns.scales,
            squared_norms: &database.squared_norms[panel],
        };
        database.instructions().int8_tile(&inputs, &mut self.scores);
        // Padding rows pass nothing, so `row` is one of the block.
        let mut rows = self.scores.rows;
        while rows != 0 {
            let row = rows.trailing_zeros() as usize;
            rows &= rows - 1;
            let [low, high] = self.scores.masks[row];
            let candidates = &mut self.candidates[first_row + row];
            let mask = u32::from(low) | (u32::from(high) << 16);
            let mask = mask & eligible(database, block, first_row + row, panel);
            let scores = &self.scores.scores[row];
            offer(
                candidates,
                panel,
                mask,
                #[inline(always)]
                |column| {
                    let from_error = terms.double_errors[row] * columns.norms[column];
                    let from_norm = terms.double_norms[row] * columns.errors[column];
                    (scores[column], from_error + from_norm + terms.slacks[row])
                },
            );
            terms.limits[row] = candidates.limit();
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
                        let mask = eligible(database, block, row, panel);
                        offer(
                            candidates,
                            panel,
                            mask,
                            #[inline(always)]
                            |column| (scores[column], error),
                        );
                    }
                }
            }
        }
    }
}

/// One bit for each column of a panel that is neither padding nor the row itself where that is excluded.
fn eligible(database: &Database<'_>, block: Block<'_>, row: usize, panel: usize) -> u32 {
    let first = panel * PANEL;
    let num_columns = (database.num_rows() - first).min(PANEL);
    let mask = u32::MAX >> (PANEL - num_columns);
    match block.first_excluded.map(|excluded| excluded + row) {
        Some(own) if (first..first + num_columns).contains(&own) => mask & !(1 << (own - first)),
        _ => mask,
    }
}

/// Offers the columns of a panel that have a bit in `mask` as candidates; `score` returns the score of a
/// column and its largest error.
#[inline(always)]
fn offer(candidates: &mut Candidates, panel: usize, mask: u32, score: impl Fn(usize) -> (f32, f32)) {
    if candidates.count() == 1 {
        // Before any is kept, so that few are.
        let mut lowest = f32::INFINITY;
        let mut rest = mask;
        while rest != 0 {
            let (score, error) = score(rest.trailing_zeros() as usize);
            rest &= rest - 1;
            lowest = lowest.min(score + error);
        }
        candidates.lower_limit(lowest);
    }
    let mut rest = mask;
    while rest != 0 {
        let column = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let (score, error) = score(column);
        let index = (panel * PANEL + column) as u32;
        candidates.push(Candidate { lower: score - error, upper: score + error, index });
    }
}
