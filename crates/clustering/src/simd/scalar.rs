//! Both kernels in plain code: for other processors, and to test the others against.

use super::{F32Tile, Int8Tile, PANEL, TILE_ROWS, TileProducts, TileScores};

/// Values of a row that lie together in a panel of integers.
const GROUP: usize = 4;

/// See [`F32Tile`].
pub(super) fn f32_tile(tile: &F32Tile<'_>, out: &mut TileProducts) {
    let dim = tile.dim();
    for (row, out) in tile.rows.chunks_exact(dim).zip(out) {
        let mut sums = [0.0; PANEL];
        for (&value, columns) in row.iter().zip(tile.panel.as_chunks::<PANEL>().0) {
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum += value * column;
            }
        }
        *out = sums;
    }
}

/// See [`Int8Tile`].
pub(super) fn int8_tile(tile: &Int8Tile<'_>, out: &mut TileScores) {
    let row_len = tile.rows.len() / TILE_ROWS;
    out.rows = 0;
    for (row, values) in tile.rows.chunks_exact(row_len).enumerate() {
        let mut sums = [tile.starts[row]; PANEL];
        for (values, columns) in values.chunks_exact(GROUP).zip(tile.panel.chunks_exact(PANEL * GROUP)) {
            for (sum, column) in sums.iter_mut().zip(columns.chunks_exact(GROUP)) {
                for (&value, &column) in values.iter().zip(column) {
                    *sum += i32::from(value) * i32::from(column);
                }
            }
        }
        out.masks[row] = [0; 2];
        for (column, sum) in sums.into_iter().enumerate() {
            let product = sum as f32 * tile.scales[column];
            let score = tile.squared_norms[column] - tile.double_scales[row] * product;
            out.scores[row][column] = score;
            let lane = column % (PANEL / 2);
            out.masks[row][column / (PANEL / 2)] |= u16::from(score <= tile.limits[row]) << lane;
        }
        out.rows |= u32::from(out.masks[row] != [0; 2]) << row;
    }
}
