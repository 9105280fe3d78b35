//! Exact sums of rows that belong together.

#[cfg(feature = "gpu")]
mod cube;
mod extension;
mod host;

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

use self::extension::SegmentSumsOps;

/// For each segment `starts[s]..starts[s + 1]` of `order` the sum of the rows that it names, in fixed-point
/// numbers: a value `v` counts as `round(v * scale * 2^low_bits)`, ties to even, where `scale` is that of its
/// column. The sum is `high * 2^low_bits + low`.
///
/// Integers add up to the same in any order, and nothing here is rounded but each value once: every device
/// gives the same bits.
///
/// # Shapes
/// - `rows`: `[num_rows, dim]`
/// - `order`: `[_]`, numbers of rows
/// - `starts`: `[num_segments + 1]`, ascending, the last at most the length of `order`
/// - `scales`: `[dim]`, powers of two
/// - output: high and low parts, `[num_segments, dim]` each
///
/// It is for the caller to see to it that numbers of rows are in range, for kernels read what they are told
/// to, and that a segment is so short that neither part exceeds 31 bits: `low_bits` is at most 25, and so are
/// the bits of `v * scale`.
pub fn segment_sums(
    rows: Tensor<2>,
    order: Tensor<1, Int>,
    starts: Tensor<1, Int>,
    scales: Tensor<1>,
    low_bits: u32,
) -> (Tensor<2, Int>, Tensor<2, Int>) {
    assert!(rows.dims()[1] == scales.dims()[0], "each column has its scale");
    let (high, low) = Dispatch::segment_sums(
        rows.into_dispatch(),
        order.into_dispatch(),
        starts.into_dispatch(),
        scales.into_dispatch(),
        low_bits,
    );
    (Tensor::from_dispatch(high), Tensor::from_dispatch(low))
}
