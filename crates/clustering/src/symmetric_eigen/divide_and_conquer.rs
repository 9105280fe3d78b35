//! The eigenpairs of a symmetric tridiagonal matrix by divide and conquer.
//!
//! The matrix is cut into halves that differ from it by a matrix of rank one. With the eigenpairs of the
//! halves it becomes `D + rho z z^T`, whose eigenvalues are the roots of the secular equation `1 + rho sum_j
//! z_j^2 / (d_j - lambda) = 0`, one between any two neighbouring `d_j`.
//!
//! - Cuppen, *A divide and conquer method for the symmetric tridiagonal eigenproblem*, Numer. Math. 36, 1981.
//! - Gu, Eisenstat, *A stable and efficient algorithm for the rank-one modification of the symmetric
//!   eigenproblem*, SIAM J. Matrix Anal. Appl. 15 (4), 1994: vectors that are orthogonal however close the
//!   eigenvalues.

use std::ops::Range;

use rayon::prelude::*;

use super::Eigenpairs;
use super::vector::{dot, sum_of_poles};
use crate::matmul::{Vectors, add_inner_products};
use crate::simd::Instructions;

/// Order below which a matrix is worked on by one thread.
const SMALLEST_SHARED: usize = 128;

/// Vectors that one task combines.
const VECTORS_PER_TASK: usize = 32;

/// The `count` largest eigenvalues of the tridiagonal matrix, in descending order, with their eigenvectors.
pub(super) fn tridiagonal_eigenpairs(diagonal: &[f64], off_diagonal: &[f64], count: usize) -> Eigenpairs {
    let dim = diagonal.len();
    let (&[first], []) = (diagonal, off_diagonal) else {
        let middle = dim / 2;
        let rho = off_diagonal[middle - 1];
        let mut diagonal = diagonal.to_vec();
        diagonal[middle - 1] -= rho.abs();
        diagonal[middle] -= rho.abs();
        let left = || tridiagonal_eigenpairs(&diagonal[..middle], &off_diagonal[..middle - 1], middle);
        let right = || tridiagonal_eigenpairs(&diagonal[middle..], &off_diagonal[middle..], dim - middle);
        let (left, right) = if dim >= SMALLEST_SHARED { rayon::join(left, right) } else { (left(), right()) };
        return Merge::new(left, right, rho).eigenpairs(count);
    };
    Eigenpairs { values: vec![first; count.min(1)], vectors: vec![1.0; count.min(1)] }
}

/// The eigenvectors of one half: zero outside of a range of entries.
struct Half {
    entries: Range<usize>,
    /// `[dim, entries.len()]`; all-zero rows stand for the vectors of the other half.
    vectors: Vec<f64>,
    is_zero: Vec<bool>,
}

/// `V (D + rho z z^T) V^T` with the eigenvectors `V` of both halves.
struct Merge {
    dim: usize,
    /// The matrix `D`.
    values: Vec<f64>,
    z: Vec<f64>,
    rho: f64,
    halves: [Half; 2],
}

/// A root of the secular equation, as its distance from a pole next to it, which keeps all digits.
#[derive(Clone, Copy)]
struct Root {
    pole: f64,
    distance: f64,
}

impl Merge {
    fn new(left: Eigenpairs, right: Eigenpairs, off_diagonal: f64) -> Self {
        let (middle, dim) = (left.values.len(), left.values.len() + right.values.len());
        // z has a squared norm of 2 with the last entries of the left vectors and the first of the right
        // ones.
        let sign = off_diagonal.signum() / 2.0_f64.sqrt();
        let left_ends = left.vectors.chunks_exact(middle).map(|vector| vector[middle - 1] / 2.0_f64.sqrt());
        let right_ends = right.vectors.chunks_exact(dim - middle).map(|vector| vector[0] * sign);
        let z = left_ends.chain(right_ends).collect();
        let values = left.values.into_iter().chain(right.values).collect();
        let mut padded = vec![0.0; dim * middle];
        padded[..middle * middle].copy_from_slice(&left.vectors);
        let left = Half {
            entries: 0..middle,
            vectors: padded,
            is_zero: (0..dim).map(|index| index >= middle).collect(),
        };
        let mut padded = vec![0.0; dim * (dim - middle)];
        padded[middle * (dim - middle)..].copy_from_slice(&right.vectors);
        let right = Half {
            entries: middle..dim,
            vectors: padded,
            is_zero: (0..dim).map(|index| index < middle).collect(),
        };
        Self { dim, values, z, rho: 2.0 * off_diagonal.abs(), halves: [left, right] }
    }

    fn eigenpairs(mut self, count: usize) -> Eigenpairs {
        let (kept, deflated) = self.deflate();
        let poles: Vec<f64> = kept.iter().map(|&index| self.values[index]).collect();
        let z: Vec<f64> = kept.iter().map(|&index| self.z[index]).collect();
        let roots = roots(&poles, &z, self.rho);
        // Pairs of the merged matrix: a root, or a value that was deflated.
        let mut order: Vec<(f64, Result<usize, usize>)> = roots
            .iter()
            .enumerate()
            .map(|(index, root)| (root.pole + root.distance, Ok(index)))
            .chain(deflated.into_iter().map(|index| (self.values[index], Err(index))))
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        order.truncate(count);
        let wanted: Vec<Root> =
            order.iter().filter_map(|(_, source)| source.ok().map(|index| roots[index])).collect();
        let coefficients = coefficients(&poles, &z, &roots, &wanted);
        let mut vectors = vec![0.0; order.len() * self.dim];
        for half in &self.halves {
            let combined = half.combine(&kept, &coefficients);
            let width = half.entries.len();
            let mut combined = combined.chunks_exact(width);
            for (vector, (_, source)) in vectors.chunks_exact_mut(self.dim).zip(&order) {
                let entries = match *source {
                    Ok(_) => combined.next().unwrap_or_default(),
                    Err(index) => half.vector(index),
                };
                vector[half.entries.clone()].copy_from_slice(entries);
            }
        }
        Eigenpairs { values: order.into_iter().map(|(value, _)| value).collect(), vectors }
    }

    /// Splits the vectors into those that take part in the merge, in ascending order of their values, and
    /// those that are eigenvectors already up to rounding error. Of two with almost the same value a rotation
    /// makes one such.
    fn deflate(&mut self) -> (Vec<usize>, Vec<usize>) {
        let largest = |values: &[f64]| values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let tolerance = 8.0 * f64::EPSILON * largest(&self.values).max(largest(&self.z));
        let mut order: Vec<usize> = (0..self.dim).collect();
        order.sort_by(|&a, &b| self.values[a].total_cmp(&self.values[b]));
        let (mut kept, mut deflated): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for index in order {
            if self.rho * self.z[index].abs() <= tolerance {
                deflated.push(index);
                continue;
            }
            if let Some(&previous) = kept.last() {
                let norm = self.z[index].hypot(self.z[previous]);
                let (cosine, sine) = (self.z[index] / norm, -self.z[previous] / norm);
                let gap = self.values[index] - self.values[previous];
                if (gap * cosine * sine).abs() <= tolerance {
                    self.rotate(previous, index, cosine, sine);
                    (self.z[previous], self.z[index]) = (0.0, norm);
                    kept.pop();
                    deflated.push(previous);
                }
            }
            kept.push(index);
        }
        (kept, deflated)
    }

    /// Rotates two vectors; leaves out what that adds outside of the diagonal of `D`.
    fn rotate(&mut self, first: usize, second: usize, cosine: f64, sine: f64) {
        let (a, b) = (self.values[first], self.values[second]);
        self.values[first] = a * cosine.powi(2) + b * sine.powi(2);
        self.values[second] = a * sine.powi(2) + b * cosine.powi(2);
        for half in &mut self.halves {
            let width = half.entries.len();
            for entry in 0..width {
                let (x, y) = (half.vectors[first * width + entry], half.vectors[second * width + entry]);
                half.vectors[first * width + entry] = cosine * x + sine * y;
                half.vectors[second * width + entry] = cosine * y - sine * x;
            }
            let is_zero = half.is_zero[first] && half.is_zero[second];
            (half.is_zero[first], half.is_zero[second]) = (is_zero, is_zero);
        }
    }
}

impl Half {
    fn vector(&self, index: usize) -> &[f64] {
        let width = self.entries.len();
        &self.vectors[index * width..][..width]
    }

    /// The combinations of the vectors `kept` with the `coefficients`, `[_, kept.len()]`: `[_,
    /// entries.len()]`.
    fn combine(&self, kept: &[usize], coefficients: &[f64]) -> Vec<f64> {
        let width = self.entries.len();
        let used: Vec<usize> = (0..kept.len()).filter(|&index| !self.is_zero[kept[index]]).collect();
        let num_combinations = coefficients.len() / kept.len().max(1);
        let mut combined = vec![0.0; num_combinations * width];
        if used.is_empty() || combined.is_empty() {
            return combined;
        }
        let vectors: Vec<f64> = used.iter().flat_map(|&index| self.vector(kept[index])).copied().collect();
        let entries = Vectors::columns(&vectors, width);
        let combine = |(out, coefficients): (&mut [f64], &[f64])| {
            let used_only: Vec<f64> = coefficients
                .chunks_exact(kept.len())
                .flat_map(|coefficients| used.iter().map(|&index| coefficients[index]))
                .collect();
            add_inner_products(Vectors::rows(&used_only, used.len()), entries, out);
        };
        let out = combined.par_chunks_mut(VECTORS_PER_TASK * width);
        let tasks = out.zip(coefficients.par_chunks(VECTORS_PER_TASK * kept.len()));
        tasks.with_min_len(min_len(kept.len())).for_each(combine);
        combined
    }
}

/// The roots of `1 + rho sum_j z_j^2 / (poles[j] - lambda)`, one above each pole, in ascending order.
fn roots(poles: &[f64], z: &[f64], rho: f64) -> Vec<Root> {
    let squares: Vec<f64> = z.iter().map(|z| rho * z * z).collect();
    let total: f64 = squares.iter().sum();
    let root = |index: usize| {
        Instructions::best().compile_for(
            #[inline(always)]
            || {
                let gap = poles.get(index + 1).map_or(total, |next| next - poles[index]);
                let distances: Vec<f64> = poles.iter().map(|pole| pole - poles[index]).collect();
                let is_below_middle = 1.0 + sum_of_poles(&squares, &distances, 0.5 * gap) >= 0.0;
                if is_below_middle || index + 1 == poles.len() {
                    let distance = bisect(if is_below_middle { 0.5 * gap } else { gap }, |distance| {
                        1.0 + sum_of_poles(&squares, &distances, distance) >= 0.0
                    });
                    return Root { pole: poles[index], distance };
                }
                let pole = poles[index + 1];
                let distances: Vec<f64> = poles.iter().map(|other| other - pole).collect();
                let distance =
                    bisect(0.5 * gap, |distance| 1.0 + sum_of_poles(&squares, &distances, -distance) <= 0.0);
                Root { pole, distance: -distance }
            },
        )
    };
    (0..poles.len()).into_par_iter().with_min_len(min_len(poles.len())).map(root).collect()
}

/// The smallest number in `(0, most]` that is enough, to the last bit; `most` is.
#[inline(always)]
fn bisect(most: f64, is_enough: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most);
    loop {
        // Far from the end first by the exponent, then by the digits.
        let middle = if low > 0.25 * high { 0.5 * (low + high) } else { (low.max(1e-300) * high).sqrt() };
        if middle <= low || middle >= high {
            return high;
        }
        if is_enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
}

/// The unit eigenvectors of the `wanted` roots in terms of the vectors that were merged, `[wanted.len(),
/// poles.len()]`: those of a matrix `D + rho z' z'^T` that has exactly `roots` as its eigenvalues.
fn coefficients(poles: &[f64], z: &[f64], roots: &[Root], wanted: &[Root]) -> Vec<f64> {
    let num_poles = poles.len();
    let modified: Vec<f64> = (0..num_poles)
        .into_par_iter()
        .with_min_len(min_len(num_poles))
        .map(|j| {
            let mut square = roots[j].minus(poles[j]);
            for (i, root) in roots.iter().enumerate() {
                if i != j {
                    square *= root.minus(poles[j]) / (poles[i] - poles[j]);
                }
            }
            square.abs().sqrt().copysign(z[j])
        })
        .collect();
    let mut coefficients = vec![0.0; wanted.len() * num_poles];
    let rows = coefficients.par_chunks_mut(num_poles.max(1)).zip(wanted);
    rows.with_min_len(min_len(num_poles)).for_each(|(row, root)| {
        for ((value, z), pole) in row.iter_mut().zip(&modified).zip(poles) {
            *value = z / root.minus(*pole);
        }
        let norm = dot(row, row).sqrt();
        row.iter_mut().for_each(|value| *value /= norm);
    });
    coefficients
}

impl Root {
    /// The root minus `pole`, which is not rounded before the difference is formed.
    #[inline(always)]
    fn minus(self, pole: f64) -> f64 {
        (self.pole - pole) + self.distance
    }
}

/// Items of one task: all where there is too little work to share.
fn min_len(num_poles: usize) -> usize {
    if num_poles < SMALLEST_SHARED { usize::MAX } else { 1 }
}
