//! Safe single-threaded products of matrix tiles over the kernels of `gemm`, and the rounding error of a
//! product in `f32`.
//!
//! A tile is computed by one thread, so that its bits do not depend on how many threads there are.

use gemm_common::Parallelism;

/// `out[i, j] = sum_l a[i, l] * b[j, l]`: all inner products of the rows of `a`, `[num_a, dim]`, with the
/// rows of `b`, `[num_b, dim]`; `out` is `[num_a, num_b]`.
pub(crate) fn inner_products(a: &[f32], b: &[f32], dim: usize, out: &mut [f32]) {
    let rows = |values| Vectors::rows(values, dim);
    let row_stride = b.len() / dim;
    multiply(gemm_f32::gemm::f32::get_gemm_fn(), rows(a), rows(b), out, row_stride, None);
}

/// `out[i, j] += sum_l a[i, l] * b[j, l]` in `f64`; `out` is `[a.count, b.count]`.
pub(crate) fn add_inner_products(a: Vectors<'_, f64>, b: Vectors<'_, f64>, out: &mut [f64]) {
    multiply(gemm_f64::gemm::f64::get_gemm_fn(), a, b, out, b.count, Some(1.0));
}

/// Rows or columns of a row-major matrix, seen as vectors: `vectors[i, l]`.
#[derive(Clone, Copy)]
pub(crate) struct Vectors<'a, T> {
    /// The matrix from the first element of the first vector on.
    pub(crate) values: &'a [T],
    /// Number of vectors.
    pub(crate) count: usize,
    /// Length of each vector.
    pub(crate) len: usize,
    /// Distance in `values` from one vector to the next.
    pub(crate) vector_stride: usize,
    /// Distance in `values` from one element of a vector to the next.
    pub(crate) element_stride: usize,
}

impl<'a, T> Vectors<'a, T> {
    /// The rows of `values`, `[_, len]`.
    pub(crate) fn rows(values: &'a [T], len: usize) -> Self {
        Self { values, count: values.len() / len, len, vector_stride: len, element_stride: 1 }
    }

    /// The columns of `values`, `[_, count]`.
    pub(crate) fn columns(values: &'a [T], count: usize) -> Self {
        Self { values, count, len: values.len() / count, vector_stride: 1, element_stride: count }
    }

    fn fit_their_slice(&self) -> bool {
        self.count > 0
            && self.len > 0
            && (self.count - 1) * self.vector_stride + (self.len - 1) * self.element_stride
                < self.values.len()
    }
}

/// A kernel of `gemm`: `dst = alpha dst + beta lhs rhs`.
type Gemm<T> = unsafe fn(
    usize,
    usize,
    usize,
    *mut T,
    isize,
    isize,
    bool,
    *const T,
    isize,
    isize,
    *const T,
    isize,
    isize,
    T,
    T,
    bool,
    bool,
    bool,
    Parallelism,
);

/// `out[i, j] = factor * out[i, j] + sum_l a[i, l] * b[j, l]`; without a factor `out` is not read.
fn multiply<T: From<f32>>(
    gemm: Gemm<T>,
    a: Vectors<'_, T>,
    b: Vectors<'_, T>,
    out: &mut [T],
    row_stride: usize,
    factor: Option<f32>,
) {
    assert!(a.fit_their_slice() && b.fit_their_slice() && a.len == b.len);
    assert!(row_stride >= b.count && out.len() >= (a.count - 1) * row_stride + b.count);
    // The kernels prefer results whose columns are contiguous: of a row-major one they compute the transpose.
    let row_stride = row_stride as isize;
    let (lhs, rhs, column_stride, row_stride) =
        if b.count > 1 { (b, a, row_stride, 1) } else { (a, b, 1, row_stride) };
    // SAFETY: inputs and result were checked to lie in their slices; `out` is borrowed mutably, so it
    // overlaps neither input, and its rows do not overlap each other.
    unsafe {
        gemm(
            lhs.count,
            rhs.count,
            lhs.len,
            out.as_mut_ptr(),
            column_stride,
            row_stride,
            factor.is_some(),
            lhs.values.as_ptr(),
            lhs.element_stride as isize,
            lhs.vector_stride as isize,
            rhs.values.as_ptr(),
            rhs.vector_stride as isize,
            rhs.element_stride as isize,
            factor.unwrap_or(0.0).into(),
            1.0.into(),
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Bound of the rounding error of `||c||^2 - 2 <x, c>` in `f32`, for rows of norm `norm_x` and at most
/// `norm_c`.
///
/// A sum of `dim` products in any order is off by at most `gamma * ||x|| * ||c||` with `gamma = dim u / (1 -
/// dim u)` and `u = 2^-24` (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1); the other
/// terms cover the rounding of the norms and of the final additions, and underflow.
pub(crate) fn score_rounding_bound(dim: usize, norm_x: f64, norm_c: f64) -> f64 {
    let unit = f64::from(f32::EPSILON) / 2.0;
    let roundings = (dim + 4) as f64 * unit;
    let gamma = if roundings < 0.5 { roundings / (1.0 - roundings) } else { f64::INFINITY };
    2.0 * gamma * norm_x * norm_c
        + 8.0 * unit * (norm_x + norm_c).powi(2)
        + dim as f64 * f64::from(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_products_pair_every_row_of_one_matrix_with_every_row_of_the_other() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [3, 2]
        let b = [1.0, 0.0, 1.0, 1.0]; // [2, 2]
        let mut out = [f32::NAN; 6];
        inner_products(&a, &b, 2, &mut out);
        assert_eq!(out, [1.0, 3.0, 3.0, 7.0, 5.0, 11.0]);
    }

    #[test]
    fn accumulation_adds_to_what_is_there_and_follows_the_strides() {
        // columns of the row-major [2, 3] matrix: (1, 4), (2, 5), (3, 6)
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let first = Vectors { values: &values, count: 1, len: 2, vector_stride: 1, element_stride: 3 };
        let last = Vectors { values: &values[1..], count: 2, ..first };
        let mut out = [100.0, 0.0];
        add_inner_products(first, last, &mut out);
        // 100 + 1*2 + 4*5 and 1*3 + 4*6
        assert_eq!(out, [122.0, 27.0]);
    }

    #[test]
    fn the_rounding_bound_holds_for_a_sum_that_cancels() {
        let dim = 1000;
        let x: Vec<f32> = (0..dim).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 + 1e-4 * i as f32 }).collect();
        let c = vec![0.1_f32; dim];
        let product: f32 = x.iter().zip(&c).map(|(x, c)| x * c).sum();
        let exact: f64 = x.iter().zip(&c).map(|(&x, &c)| f64::from(x) * f64::from(c)).sum();
        let norm = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        assert!((2.0 * (f64::from(product) - exact)).abs() <= score_rounding_bound(dim, norm(&x), norm(&c)));
    }
}
