//! The reduction of a symmetric matrix to a tridiagonal one by Householder reflections.
//!
//! Golub, Van Loan, *Matrix Computations*, sections 5.1.7 and 8.3.1. The update of a row and its product with
//! the next reflection are one pass over the row, which halves the traffic of memory.

use rayon::prelude::*;

use super::vector::{add_multiple, dot};
use crate::matmul::{Vectors, add_inner_products, add_inner_products_in_rows};
use crate::simd::Instructions;

/// Rows that one task updates, and vectors that one task transforms back.
const ROWS_PER_TASK: usize = 64;

/// Reflections that are applied at once.
const BLOCK: usize = 32;

/// A symmetric matrix `Q T Q^T` with a tridiagonal `T`.
pub(super) struct Tridiagonal {
    /// `[dim]`.
    pub(super) diagonal: Vec<f64>,
    /// `[dim - 1]`.
    pub(super) off_diagonal: Vec<f64>,
    /// Row `k` holds the vector `v` of reflection `k` from column `k + 1` on, zeros before; `[dim, dim]`.
    reflections: Vec<f64>,
    /// The factor `2 / ||v||^2` of each reflection `1 - factor v v^T`, 0 for the identity; `[dim - 1]`.
    factors: Vec<f64>,
}

impl Tridiagonal {
    /// Reduces the symmetric `matrix`, `[dim, dim]`, of which only the upper triangle is read.
    pub(super) fn new(matrix: Vec<f64>, dim: usize) -> Self {
        let mut rows = matrix;
        let (mut diagonal, mut off_diagonal) = (Vec::with_capacity(dim), Vec::with_capacity(dim));
        let mut factors = Vec::with_capacity(dim);
        // The last reflection and its update `v w^T + w v^T`, which only the next row has seen yet.
        let (mut v, mut w) = (vec![0.0; dim], vec![0.0; dim]);
        for k in 0..dim {
            let (done, rest) = rows.split_at_mut((k + 1) * dim);
            let (before, row) = done[k * dim..].split_at_mut(k);
            before.fill(0.0);
            update(row, v[0], &v, w[0], &w);
            diagonal.push(std::mem::take(&mut row[0]));
            let vector = &mut row[1..];
            let Some(&first) = vector.first() else { break };
            let norm = dot(vector, vector).sqrt();
            off_diagonal.push(if first > 0.0 { -norm } else { norm });
            vector[0] -= off_diagonal[k];
            let squared_norm = dot(vector, vector);
            let factor = if squared_norm > f64::MIN_POSITIVE { 2.0 / squared_norm } else { 0.0 };
            factors.push(factor);
            let mut product = updated_product(rest, dim, &v[1..], &w[1..], vector);
            product.iter_mut().for_each(|value| *value *= factor);
            let half = 0.5 * factor * dot(&product, vector);
            add_multiple(&mut product, -half, vector);
            v = vector.to_vec();
            w = product;
        }
        Self { diagonal, off_diagonal, reflections: rows, factors }
    }

    /// Replaces each of `vectors`, `[_, dim]`, by `Q` times it.
    pub(super) fn transform_back(&self, vectors: &mut [f64]) {
        let dim = self.diagonal.len();
        // The product of the reflections of a block is 1 - V^T F V with a triangular F.
        let blocks: Vec<(usize, Vec<f64>)> = (0..self.factors.len())
            .step_by(BLOCK)
            .map(|first| (first, self.triangle(first..self.factors.len().min(first + BLOCK))))
            .collect();
        vectors.par_chunks_mut(ROWS_PER_TASK * dim).for_each(|vectors| {
            let num_vectors = vectors.len() / dim;
            for (first, triangle) in blocks.iter().rev() {
                let (first, count) = (*first, (self.factors.len() - first).min(BLOCK));
                let len = dim - first - 1;
                let start = first * dim + first + 1;
                let reflections = |vector_stride, element_stride, count, len| Vectors {
                    values: &self.reflections[start..],
                    count,
                    len,
                    vector_stride,
                    element_stride,
                };
                let tails = Vectors {
                    values: &vectors[first + 1..],
                    count: num_vectors,
                    len,
                    vector_stride: dim,
                    element_stride: 1,
                };
                let mut lengths = vec![0.0; num_vectors * count];
                add_inner_products(tails, reflections(dim, 1, count, len), &mut lengths);
                let mut factors = vec![0.0; num_vectors * count];
                let triangle = Vectors::rows(triangle, count);
                add_inner_products(Vectors::rows(&lengths, count), triangle, &mut factors);
                let columns = reflections(1, dim, len, count);
                let factors = Vectors::rows(&factors, count);
                add_inner_products_in_rows(factors, columns, &mut vectors[first + 1..], dim);
            }
        });
    }

    /// `-F`, `[len, len]`, of the product `1 - V^T F V` of some reflections, whose vectors are the rows of
    /// `V`.
    fn triangle(&self, reflections: std::ops::Range<usize>) -> Vec<f64> {
        let (dim, count) = (self.diagonal.len(), reflections.len());
        let vector = |index: usize| &self.reflections[(reflections.start + index) * dim..][..dim];
        let mut triangle = vec![0.0; count * count];
        for j in 0..count {
            let factor = self.factors[reflections.start + j];
            let products: Vec<f64> = (0..j).map(|i| dot(vector(i), vector(j))).collect();
            for i in 0..j {
                let row = &triangle[i * count..][..j];
                triangle[i * count + j] = -factor * dot(row, &products);
            }
            triangle[j * count + j] = -factor;
        }
        triangle
    }
}

/// Subtracts `v w^T + w v^T` from the upper triangle of the last `v.len()` columns of `rows`, `[v.len(),
/// dim]`, and returns the product of that symmetric matrix with `vector`.
fn updated_product(rows: &mut [f64], dim: usize, v: &[f64], w: &[f64], vector: &[f64]) -> Vec<f64> {
    let len = v.len();
    let task = |(task, rows): (usize, &mut [f64])| {
        Instructions::best().compile_for(
            #[inline(always)]
            || {
                let first = task * ROWS_PER_TASK;
                let mut product = vec![0.0; len - first];
                for (row, i) in rows.chunks_exact_mut(dim).zip(first..) {
                    let row = &mut row[dim - len + i..];
                    update(row, v[i], &v[i..], w[i], &w[i..]);
                    product[i - first] += dot(row, &vector[i..]);
                    add_multiple(&mut product[i - first + 1..], vector[i], &row[1..]);
                }
                product
            },
        )
    };
    let tasks = rows.par_chunks_mut(ROWS_PER_TASK * dim).enumerate().map(task);
    let parts: Vec<Vec<f64>> = tasks.collect();
    let mut product = vec![0.0; len];
    for part in parts {
        let first = len - part.len();
        product[first..].iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    product
}

/// `row -= v_i * w + w_i * v`.
#[inline(always)]
fn update(row: &mut [f64], v_i: f64, v: &[f64], w_i: f64, w: &[f64]) {
    for ((value, v), w) in row.iter_mut().zip(v).zip(w) {
        *value -= v_i * w + w_i * v;
    }
}
