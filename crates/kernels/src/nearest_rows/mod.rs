//! The nearest rows of a matrix, for each row of another.

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
mod cube;
mod extension;
mod host;

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

use self::extension::NearestRowsOps;

/// Most rows that [`nearest_rows`] finds for each.
pub const MAX_NEAREST_ROWS: usize = 16;

/// The `count` rows of `database` with the lowest scores `||c||^2 / 2 - <x, c>`, for each row `x` of `rows`: half their
/// squared distance less `||x||^2 / 2`. Lowest first; among equal scores in no fixed order.
///
/// Scores are computed in `f32`, each inner product in the order of the dimensions, so that a score differs from the exact
/// one by less than `(dim + 4) 2^-24 (||x|| ||c|| + ||c||^2)`. The matrix of all scores is never stored. Where there are
/// fewer rows than `count` the rest is `(0, f32::MAX)`.
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
    );
    (Tensor::from_dispatch(indices), Tensor::from_dispatch(scores))
}
