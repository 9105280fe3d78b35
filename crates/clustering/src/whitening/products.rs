//! All inner products among many long vectors, summed in `f64` over pieces of the vectors.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use crate::matmul::{Vectors, add_inner_products};

/// Length of the pieces of the vectors; within a piece, products of `f32` are summed in `f32`.
const PIECE_LEN: usize = 512;

/// Pieces that are laid out at a time: each tile of the result stays in the cache while it takes them all.
const PIECES_PER_PASS: usize = 8;

/// Rows and columns of a tile of the result.
const TILE: usize = 128;

/// A type of numbers in which the products of a piece are formed.
pub(super) trait Number: Copy + Send + Sync + 'static {
    const ZERO: Self;

    fn from_f64(value: f64) -> Self;

    /// `out[i, j] += sum_l a[l, i] * b[l, j]` over pieces of length `len`: `a` is `[len, num_a]`, `b` `[len, num_b]`
    /// and `out` `[num_a, num_b]`.
    fn add_products(a: &[Self], b: &[Self], len: usize, out: &mut [f64], scratch: &mut Vec<Self>);
}

impl Number for f64 {
    const ZERO: Self = 0.0;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn add_products(a: &[f64], b: &[f64], len: usize, out: &mut [f64], _scratch: &mut Vec<f64>) {
        let columns = |values, count| Vectors { values, count, len, vector_stride: 1, element_stride: count };
        add_inner_products(columns(a, a.len() / len), columns(b, b.len() / len), out);
    }
}

impl Number for f32 {
    const ZERO: Self = 0.0;

    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn add_products(a: &[f32], b: &[f32], len: usize, out: &mut [f64], scratch: &mut Vec<f32>) {
        scratch.resize(out.len(), 0.0);
        column_products(a, b, len, scratch);
        for (sum, &product) in out.iter_mut().zip(&*scratch) {
            *sum += f64::from(product);
        }
    }
}

/// `scale * sum_l v_il v_jl` for all pairs among `count` vectors of length `len`, `[count, count]`.
///
/// `lay_out(first, piece_len, panels, buffer)` writes the elements `first..first + piece_len` of all vectors to the
/// panels that [`panels`] cuts `panels` into; `buffer` is scratch memory.
///
/// The tiles of the lower triangle are computed, each by one thread at a time in the order of the pieces, so that the
/// bits do not depend on the number of threads.
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
    let pass_len = PIECE_LEN * PIECES_PER_PASS;
    let mut pieces = vec![T::ZERO; len.min(pass_len) * count];
    for first in (0..len).step_by(pass_len) {
        let pieces = &mut pieces[..pass_len.min(len - first) * count];
        pieces.par_chunks_mut(PIECE_LEN * count).enumerate().for_each_init(
            Vec::new,
            |buffer, (index, piece)| {
                lay_out(first + index * PIECE_LEN, piece.len() / count, piece, buffer);
            },
        );
        tiles.par_iter_mut().for_each_init(Vec::new, |scratch, tile| {
            for piece in pieces.chunks(PIECE_LEN * count) {
                let len = piece.len() / count;
                let panel = |vectors: &std::ops::Range<usize>| &piece[vectors.start * len..vectors.end * len];
                T::add_products(panel(&tile.rows), panel(&tile.columns), len, &mut tile.sums, scratch);
            }
        });
    }
    drop(pieces);
    assemble(&tiles, count, scale)
}

/// Cuts a piece of `piece_len` elements of each vector into panels `[piece_len, width]` of `width` vectors each, and
/// gives the first vector of each, its width and its values.
pub(super) fn panels<T>(
    values: &mut [T],
    piece_len: usize,
) -> impl Iterator<Item = (usize, usize, &mut [T])> {
    values
        .chunks_mut(TILE * piece_len)
        .enumerate()
        .map(move |(index, panel)| (index * TILE, panel.len() / piece_len, panel))
}

struct Tile {
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    /// `[rows, columns]`.
    sums: Vec<f64>,
}

impl Tile {
    fn new(rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Self {
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

/// `out[i, j] = sum_l a[l, i] * b[l, j]`; `a` is `[len, num_a]`, `b` `[len, num_b]` and `out` `[num_a, num_b]`.
fn column_products(a: &[f32], b: &[f32], len: usize, out: &mut [f32]) {
    let (num_a, num_b) = (a.len() / len, b.len() / len);
    assert!(a.len() == num_a * len && b.len() == num_b * len && out.len() == num_a * num_b);
    // SAFETY: the lengths were checked above: the strides reach every element of the three row-major matrices
    // and nothing beyond, and `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm(
            num_a,
            num_b,
            len,
            out.as_mut_ptr(),
            1,
            num_b as isize,
            false,
            a.as_ptr(),
            num_a as isize,
            1,
            b.as_ptr(),
            1,
            num_b as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<T: Number>(vectors: &[Vec<f64>]) -> Vec<f64> {
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
        // Two passes with a short last piece, three rows of tiles; small integers, so that every sum is exact.
        let len = PIECE_LEN * PIECES_PER_PASS + 700;
        let vectors: Vec<Vec<f64>> = (0..TILE * 2 + 3)
            .map(|i| (0..len).map(|l| ((i * 7 + l * 3 + i * l) % 5) as f64 - 2.0).collect())
            .collect();
        let expected: Vec<f64> = vectors
            .iter()
            .flat_map(|a| vectors.iter().map(|b| 2.0 * a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()))
            .collect();
        assert!(of::<f64>(&vectors) == expected);
        assert!(of::<f32>(&vectors) == expected);
    }
}
