//! The nearest rows of a matrix, for each row of another.

#[cfg(feature = "gpu")]
mod cube;
mod extension;
mod host;
#[cfg(feature = "gpu")]
mod lists;
#[cfg(feature = "gpu")]
mod matrix_units;

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

use self::extension::NearestRowsOps;

/// Most rows that [`nearest_rows`] finds for each.
pub const MAX_NEAREST_ROWS: usize = 16;

/// Bounds of the magnitudes of all values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Magnitudes {
    /// Of the rows.
    pub rows: f32,
    /// Of the database.
    pub database: f32,
}

/// Most by which a score of [`nearest_rows`] of `dim` dimensions differs from the exact one, as part of
/// `||x|| ||c|| + ||c||^2`.
///
/// In single precision a product of `dim` terms is rounded `dim + 1` times by half a unit of 2^-23. Matrix
/// units add three products over fragments of eight or more dimensions, and may cut off sums where others
/// round them: `3 dim / 8` times up to two units; what the halves lack of the factors, and the product of two
/// low parts, is less than 2^-19. Half the norm and the last difference are rounded as well.
pub fn score_error(dim: usize) -> f64 {
    let single = (dim + 8) as f64 * (-24_f64).exp2();
    let matrix_units = (3 * dim.div_ceil(8) + 16) as f64 * (-22_f64).exp2();
    single.max(matrix_units)
}

/// The `count` rows of `database` with the lowest scores `||c||^2 / 2 - <x, c>`, for each row `x` of `rows`:
/// half their squared distance less `||x||^2 / 2`. Lowest first; among equal scores in no fixed order.
///
/// Scores are sums in `f32`; a score differs from the exact one by less than [`score_error`] times `||x||
/// ||c|| + ||c||^2`. With `magnitudes` the matrix units of a GPU are used where it has some for halves: three
/// products of halves then stand for one of single precision. The matrix of all scores is never stored. Where
/// there are fewer rows than `count` the rest is `(0, f32::MAX)`.
///
/// # Shapes
/// - `rows`: `[num_rows, dim]`
/// - `database`: `[num_entries, dim]`, at most 2^24 rows
/// - `half_norms`: `[num_entries]`, `||c||^2 / 2`
/// - output: numbers of rows of `database` and their scores, `[num_rows, count]` each
///
/// # Panics
/// If shapes do not match, or `count` is 0 or more than [`MAX_NEAREST_ROWS`].
pub fn nearest_rows(
    rows: Tensor<2>,
    database: Tensor<2>,
    half_norms: Tensor<1>,
    count: usize,
    magnitudes: Option<Magnitudes>,
) -> (Tensor<2, Int>, Tensor<2>) {
    let ([_, dim], [num_entries, database_dim]) = (rows.dims(), database.dims());
    assert!(dim == database_dim, "rows of {dim} values have no distance to rows of {database_dim}");
    assert!(half_norms.dims() == [num_entries], "each row of the database has a norm");
    assert!(
        (1..=MAX_NEAREST_ROWS).contains(&count),
        "the nearest rows are at least 1 and at most {MAX_NEAREST_ROWS}"
    );
    assert!(num_entries <= 1 << 24, "the numbers of the rows of the database are at most 2^24");
    let (indices, scores) = Dispatch::nearest_rows(
        rows.into_dispatch(),
        database.into_dispatch(),
        half_norms.into_dispatch(),
        count,
        magnitudes,
    );
    (Tensor::from_dispatch(indices), Tensor::from_dispatch(scores))
}
