//! All inner products among many long vectors, summed in `f64` over pieces of the vectors.

use std::ops::Range;

use rayon::prelude::*;

use crate::matmul::{Vectors, add_inner_products};
use crate::simd::{F32Tile, Instructions, PANEL, TILE_ROWS};

/// Length of the pieces of the vectors; within a piece, products of `f32` are summed in `f32`.
const PIECE_LEN: usize = 512;

/// Pieces that are laid out at a time: each tile of the result stays in the cache while it takes them all.
const PIECES_PER_PASS: usize = 4;

/// Rows and columns of a tile of the result: whole panels and rows of the kernel of `f32`.
const TILE: usize = 96;

const _: () = assert!(TILE.is_multiple_of(PANEL) && TILE.is_multiple_of(TILE_ROWS));

/// A type of numbers in which the products of a piece are formed.
pub(super) trait Number: Copy + Send + Sync + 'static {
    const ZERO: Self;

    /// Vectors that lie side by side in a piece: the piece is cut into panels `[piece_len, PANEL_WIDTH]`.
    const PANEL_WIDTH: usize;

    fn from_f64(value: f64) -> Self;

    /// The vectors of a piece, whose panels are given, one after the other, if the products need them so.
    fn transpose(panels: &[Self], piece_len: usize, out: &mut [Self]);

    /// Adds the inner products over a piece of `tile.rows` with `tile.columns` to the sums of the tile.
    fn add_products(piece: &Piece<'_, Self>, tile: &mut Tile);
}

/// The elements of one piece of all vectors, padded with zeros to whole tiles.
pub(super) struct Piece<'a, T> {
    len: usize,
    /// `[num_panels, len, PANEL_WIDTH]`.
    panels: &'a [T],
    /// `[num_vectors, len]`, if needed.
    vectors: &'a [T],
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const PANEL_WIDTH: usize = TILE;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn transpose(_panels: &[f64], _piece_len: usize, _out: &mut [f64]) {}

    fn add_products(piece: &Piece<'_, f64>, tile: &mut Tile) {
        let panel = |vectors: &Range<usize>| Vectors {
            values: &piece.panels[vectors.start * piece.len..][..TILE * piece.len],
            count: vectors.len(),
            len: piece.len,
            vector_stride: 1,
            element_stride: TILE,
        };
        add_inner_products(panel(&tile.rows), panel(&tile.columns), &mut tile.sums);
    }
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    const PANEL_WIDTH: usize = PANEL;

    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn transpose(panels: &[f32], piece_len: usize, out: &mut [f32]) {
        let size = PANEL * piece_len;
        for (panel, out) in panels.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            // Square by square, so that both sides stay in the cache.
            for (first, square) in panel.as_chunks::<PANEL>().0.chunks(PANEL).enumerate() {
                for (column, out) in out.chunks_exact_mut(piece_len).enumerate() {
                    for (out, values) in out[first * PANEL..].iter_mut().zip(square) {
                        *out = values[column];
                    }
                }
            }
        }
    }

    fn add_products(piece: &Piece<'_, f32>, tile: &mut Tile) {
        let instructions = Instructions::best();
        let width = tile.columns.len();
        let rows = &piece.vectors[tile.rows.start * piece.len..][..TILE * piece.len];
        let panels = &piece.panels[tile.columns.start * piece.len..][..TILE * piece.len];
        let mut products = [[0.0; PANEL]; TILE_ROWS];
        // Of the last tile some rows and columns are padding.
        for (rows, sums) in
            rows.chunks_exact(TILE_ROWS * piece.len).zip(tile.sums.chunks_mut(TILE_ROWS * width))
        {
            let firsts = (0..width).step_by(PANEL);
            for (first, panel) in firsts.zip(panels.chunks_exact(PANEL * piece.len)) {
                instructions.f32_tile(&F32Tile { rows, panel }, &mut products);
                for (sums, products) in sums.chunks_exact_mut(width).zip(&products) {
                    for (sum, &product) in sums[first..].iter_mut().zip(products) {
                        *sum += f64::from(product);
                    }
                }
            }
        }
    }
}

/// `scale * sum_l v_il v_jl` for all pairs among `count` vectors of length `len`, `[count, count]`.
///
/// `lay_out(first, piece_len, values, buffer)` writes the elements `first..first + piece_len` of all vectors
/// to the panels that [`panels`] cuts `values` into, and leaves what is beyond the last vector; `buffer` is
/// scratch memory.
///
/// The tiles of the lower triangle are computed, each by one thread at a time in the order of the pieces, so
/// that the bits do not depend on the number of threads.
pub(super) fn symmetric_product<T: Number>(
    count: usize,
    len: usize,
    scale: f64,
    lay_out: impl Fn(usize, usize, &mut [T], &mut Vec<f32>) + Sync,
) -> Vec<f64> {
    let firsts = || (0..count).step_by(TILE);
    let mut tiles: Vec<Tile> = firsts()
        .flat_map(|row| firsts().take_while(move |&column| column <= row).map(move |column| (row, column)))
        .map(|(row, column)| Tile::new(row..count.min(row + TILE), column..count.min(column + TILE)))
        .collect();
    let pass_len = len.min(PIECE_LEN * PIECES_PER_PASS);
    let padded_count = count.next_multiple_of(TILE);
    let mut panels = vec![T::ZERO; pass_len * padded_count];
    let mut vectors = vec![T::ZERO; if T::PANEL_WIDTH == TILE { 0 } else { panels.len() }];
    for first in (0..len).step_by(pass_len) {
        let pass_len = pass_len.min(len - first);
        let lens = (0..pass_len).step_by(PIECE_LEN).map(|start| PIECE_LEN.min(pass_len - start));
        let mut parts: Vec<_> = lens
            .zip(panels.chunks_mut(PIECE_LEN * padded_count))
            .zip(
                vectors.chunks_mut(PIECE_LEN * padded_count).map(Some).chain(std::iter::repeat_with(|| None)),
            )
            .map(|((len, panels), vectors)| (len, &mut panels[..len * padded_count], vectors))
            .collect();
        parts.par_iter_mut().enumerate().for_each_init(
            Vec::new,
            |buffer, (index, (len, panels, vectors))| {
                let used = count.next_multiple_of(T::PANEL_WIDTH) * *len;
                if *len < PIECE_LEN {
                    // It lies otherwise than the pieces before: what they left is not padding.
                    panels.fill(T::ZERO);
                }
                lay_out(first + index * PIECE_LEN, *len, &mut panels[..used], buffer);
                if let Some(vectors) = vectors {
                    T::transpose(panels, *len, &mut vectors[..*len * padded_count]);
                }
            },
        );
        let pieces: Vec<Piece<'_, T>> = parts
            .into_iter()
            .map(|(len, panels, vectors)| Piece { len, panels, vectors: vectors.unwrap_or_default() })
            .collect();
        tiles.par_iter_mut().for_each(|tile| {
            for piece in &pieces {
                T::add_products(piece, tile);
            }
        });
    }
    drop((panels, vectors));
    assemble(&tiles, count, scale)
}

/// Cuts a piece of `piece_len` elements of each vector into panels `[piece_len, width]`, and returns the
/// first vector of each, its width and its values. Of the last panel the columns beyond the last vector are
/// padding.
pub(super) fn panels<T: Number>(
    values: &mut [T],
    piece_len: usize,
) -> impl Iterator<Item = (usize, usize, &mut [T])> {
    let panels = values.chunks_exact_mut(T::PANEL_WIDTH * piece_len).enumerate();
    panels.map(|(index, panel)| (index * T::PANEL_WIDTH, T::PANEL_WIDTH, panel))
}

/// A tile of the result.
pub(super) struct Tile {
    rows: Range<usize>,
    columns: Range<usize>,
    /// `[rows, columns]`.
    sums: Vec<f64>,
}

impl Tile {
    fn new(rows: Range<usize>, columns: Range<usize>) -> Self {
        let sums = vec![0.0; rows.len() * columns.len()];
        Self { rows, columns, sums }
    }
}

/// The whole symmetric matrix times `scale` from the tiles of its lower triangle, which lie row by row.
fn assemble(tiles: &[Tile], count: usize, scale: f64) -> Vec<f64> {
    let mut matrix = vec![0.0; count * count];
    matrix.par_chunks_mut(TILE * count).enumerate().for_each(|(block, rows)| {
        for other in 0..count.div_ceil(TILE) {
            let (low, high) = (block.min(other), block.max(other));
            let tile = &tiles[high * (high + 1) / 2 + low];
            let is_transposed = other > block;
            let (columns, width) = if is_transposed {
                (&tile.rows, tile.columns.len())
            } else {
                (&tile.columns, tile.columns.len())
            };
            for (i, row) in rows.chunks_exact_mut(count).enumerate() {
                for (j, value) in row[columns.clone()].iter_mut().enumerate() {
                    *value = scale * tile.sums[if is_transposed { j * width + i } else { i * width + j }];
                }
            }
        }
    });
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled_products<T: Number>(vectors: &[Vec<f64>]) -> Vec<f64> {
        symmetric_product::<T>(vectors.len(), vectors[0].len(), 2.0, |first, len, piece, _| {
            for (start, width, panel) in panels(piece, len) {
                for (l, row) in panel.chunks_exact_mut(width).enumerate() {
                    for (value, vector) in row.iter_mut().zip(&vectors[start..]) {
                        *value = T::from_f64(vector[first + l]);
                    }
                }
            }
        })
    }

    #[test]
    fn every_pair_of_vectors_gets_its_scaled_product_over_all_pieces_and_tiles() {
        // Two passes with a short last piece, three rows of tiles; small integers, so that every sum is
        // exact.
        let len = PIECE_LEN * PIECES_PER_PASS + 700;
        let vectors: Vec<Vec<f64>> = (0..TILE * 2 + 3)
            .map(|i| (0..len).map(|l| ((i * 7 + l * 3 + i * l) % 5) as f64 - 2.0).collect())
            .collect();
        let expected: Vec<f64> = vectors
            .iter()
            .flat_map(|a| vectors.iter().map(|b| 2.0 * a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()))
            .collect();
        assert!(doubled_products::<f64>(&vectors) == expected);
        assert!(doubled_products::<f32>(&vectors) == expected);
    }
}
