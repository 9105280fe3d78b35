//! Scores from 8-bit integers with AVX-512 VNNI.

use std::arch::x86_64::{
    __m512i, _CMP_LE_OQ, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fnmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::{Int8Tile, PANEL, TILE_ROWS, TileScores};

/// Values that one instruction multiplies and adds up.
const GROUP: usize = 4;

/// Columns of a register.
const LANES: usize = PANEL / 2;

/// See [`Int8Tile`].
///
/// # Safety
/// The processor has AVX-512F and AVX-512 VNNI.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn int8_tile(tile: &Int8Tile<'_>, out: &mut TileScores) {
    let num_groups = tile.rows.len() / (TILE_ROWS * GROUP);
    let row_len = num_groups * GROUP;
    assert!(tile.rows.len() == TILE_ROWS * row_len && tile.panel.len() == PANEL * row_len);
    let (rows, panel) = (tile.rows.as_ptr(), tile.panel.as_ptr());
    let mut sums = [[_mm512_set1_epi32(0); 2]; TILE_ROWS];
    for (sums, &start) in sums.iter_mut().zip(tile.starts) {
        *sums = [_mm512_set1_epi32(start); 2];
    }
    for group in 0..num_groups {
        // SAFETY: the panel has `num_groups` times 2 registers of 64 bytes, as was asserted.
        let columns: [__m512i; 2] = unsafe {
            let start = panel.add(group * PANEL * GROUP);
            [_mm512_loadu_si512(start.cast()), _mm512_loadu_si512(start.add(64).cast())]
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: each of the TILE_ROWS rows has `num_groups` groups of 4 bytes, as was asserted.
            let values = unsafe { rows.add(row * row_len + group * GROUP).cast::<i32>().read_unaligned() };
            let values = _mm512_set1_epi32(values);
            sums[0] = _mm512_dpbusd_epi32(sums[0], columns[0], values);
            sums[1] = _mm512_dpbusd_epi32(sums[1], columns[1], values);
        }
    }
    out.rows = 0;
    for half in 0..2 {
        let start = half * LANES;
        // SAFETY: both arrays have PANEL = 2 * LANES values.
        let (scales, norms) = unsafe {
            (
                _mm512_loadu_ps(tile.scales.as_ptr().add(start)),
                _mm512_loadu_ps(tile.squared_norms.as_ptr().add(start)),
            )
        };
        for (row, sums) in sums.iter().enumerate() {
            let products = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[half]), scales);
            let scores = _mm512_fnmadd_ps(_mm512_set1_ps(tile.double_scales[row]), products, norms);
            let limit = _mm512_set1_ps(tile.limits[row]);
            let mask = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(scores, limit);
            out.masks[row][half] = mask;
            if mask != 0 {
                out.rows |= 1 << row;
                // SAFETY: a row of scores has PANEL = 2 * LANES values.
                unsafe { _mm512_storeu_ps(out.scores[row].as_mut_ptr().add(start), scores) };
            }
        }
    }
}
