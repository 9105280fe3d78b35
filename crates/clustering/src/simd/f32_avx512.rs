//! Inner products in single precision with AVX-512.

use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps};

use super::{F32Tile, PANEL, TILE_ROWS, TileProducts};

/// See [`F32Tile`].
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn f32_tile(tile: &F32Tile<'_>, out: &mut TileProducts) {
    let dim = tile.dim();
    let (rows, panel) = (tile.rows.as_ptr(), tile.panel.as_ptr());
    let mut sums = [[_mm512_set1_ps(0.0); 2]; TILE_ROWS];
    for l in 0..dim {
        // SAFETY: the panel has `dim` times PANEL values, two registers each, as `dim()` asserts.
        let columns = unsafe {
            let start = panel.add(l * PANEL);
            [_mm512_loadu_ps(start), _mm512_loadu_ps(start.add(PANEL / 2))]
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: there are TILE_ROWS rows of `dim` values, as `dim()` asserts.
            let value = _mm512_set1_ps(unsafe { *rows.add(row * dim + l) });
            sums[0] = _mm512_fmadd_ps(value, columns[0], sums[0]);
            sums[1] = _mm512_fmadd_ps(value, columns[1], sums[1]);
        }
    }
    for (sums, out) in sums.iter().zip(out) {
        // SAFETY: a row of products has PANEL values, two registers.
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm512_storeu_ps(out.as_mut_ptr().add(PANEL / 2), sums[1]);
        }
    }
}
