//! Inner products in single precision with AVX2 and FMA.

use std::arch::x86_64::{
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::{F32Tile, PANEL, TILE_ROWS, TileProducts};

/// Rows and columns whose sums fill 12 of the 16 registers.
const ROWS: usize = 6;
const LANES: usize = 8;
const COLUMNS: usize = 2 * LANES;

/// See [`F32Tile`].
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn f32_tile(tile: &F32Tile<'_>, out: &mut TileProducts) {
    let dim = tile.dim();
    for first_row in (0..TILE_ROWS).step_by(ROWS) {
        for first_column in (0..PANEL).step_by(COLUMNS) {
            // SAFETY: `first_row` and `first_column` are within the tile, whose lengths `dim()` asserts.
            let (rows, panel) =
                unsafe { (tile.rows.as_ptr().add(first_row * dim), tile.panel.as_ptr().add(first_column)) };
            let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
            for l in 0..dim {
                // SAFETY: the panel has `dim` times PANEL values, of which COLUMNS are read.
                let columns = unsafe {
                    let start = panel.add(l * PANEL);
                    [_mm256_loadu_ps(start), _mm256_loadu_ps(start.add(LANES))]
                };
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: there are ROWS rows of `dim` values from `rows` on.
                    let value = _mm256_set1_ps(unsafe { *rows.add(row * dim + l) });
                    sums[0] = _mm256_fmadd_ps(value, columns[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(value, columns[1], sums[1]);
                }
            }
            for (sums, out) in sums.iter().zip(&mut out[first_row..]) {
                // SAFETY: a row of products has PANEL values, COLUMNS of them from `first_column` on.
                unsafe {
                    let start = out.as_mut_ptr().add(first_column);
                    _mm256_storeu_ps(start, sums[0]);
                    _mm256_storeu_ps(start.add(LANES), sums[1]);
                }
            }
        }
    }
}
