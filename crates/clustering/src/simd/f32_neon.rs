//! Inner products in single precision with NEON.

use std::arch::aarch64::{vdupq_n_f32, vfmaq_n_f32, vld1q_f32, vst1q_f32};

use super::{F32Tile, PANEL, TILE_ROWS, TileProducts};

/// Rows and columns whose sums fill 24 of the 32 registers.
const ROWS: usize = 6;
const LANES: usize = 4;
const REGISTERS: usize = 4;
const COLUMNS: usize = REGISTERS * LANES;

/// See [`F32Tile`].
///
/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn f32_tile(tile: &F32Tile<'_>, out: &mut TileProducts) {
    let dim = tile.dim();
    for first_row in (0..TILE_ROWS).step_by(ROWS) {
        for first_column in (0..PANEL).step_by(COLUMNS) {
            // SAFETY: `first_row` and `first_column` are within the tile, whose lengths `dim()` asserts.
            let (rows, panel) =
                unsafe { (tile.rows.as_ptr().add(first_row * dim), tile.panel.as_ptr().add(first_column)) };
            let mut sums = [[vdupq_n_f32(0.0); REGISTERS]; ROWS];
            for l in 0..dim {
                // SAFETY: the panel has `dim` times PANEL values, of which COLUMNS are read.
                let columns: [_; REGISTERS] = unsafe {
                    let start = panel.add(l * PANEL);
                    std::array::from_fn(|i| vld1q_f32(start.add(i * LANES)))
                };
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: there are ROWS rows of `dim` values from `rows` on.
                    let value = unsafe { *rows.add(row * dim + l) };
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = vfmaq_n_f32(*sum, column, value);
                    }
                }
            }
            for (sums, out) in sums.iter().zip(&mut out[first_row..]) {
                for (i, &sum) in sums.iter().enumerate() {
                    // SAFETY: a row of products has PANEL values, COLUMNS of them from `first_column` on.
                    unsafe { vst1q_f32(out.as_mut_ptr().add(first_column + i * LANES), sum) };
                }
            }
        }
    }
}
