//! The leading eigenvalues and eigenvectors of a symmetric matrix, in `f64`.

mod basis;
mod krylov;
mod vector;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Auto, Mat, MatRef, Par, Spec};

use crate::error::ClusteringError;

/// Eigenvectors count as equally large in two entries that differ by less than this, relatively. Without it,
/// rounding would choose the sign of a vector like `(1, -1) / sqrt(2)`.
const SIGN_TOLERANCE: f64 = 1e-6;

/// Eigenvalues in descending order, each with its eigenvector of unit length.
#[derive(Debug)]
pub(crate) struct Eigenpairs {
    /// `[count]`.
    pub(crate) values: Vec<f64>,
    /// `[count, dim]`, row-major.
    pub(crate) vectors: Vec<f64>,
}

impl Eigenpairs {
    /// The largest `||C v - lambda v||` for the symmetric `matrix` C, `[dim, dim]`.
    fn largest_residual(&self, matrix: &[f64], dim: usize) -> f64 {
        let images = basis::times_vectors(matrix, dim, &self.vectors);
        let count = self.values.len();
        let residual = |(index, vector): (usize, &[f64])| {
            let image = images.iter().skip(index).step_by(count);
            let squares =
                image.zip(vector).map(|(image, entry)| (image - self.values[index] * entry).powi(2));
            squares.sum::<f64>().sqrt()
        };
        self.vectors.chunks_exact(dim).enumerate().map(residual).fold(0.0, f64::max)
    }
}

/// The `count` largest eigenvalues of the symmetric `matrix`, `[dim, dim]`, with their eigenvectors.
///
/// Few pairs of a large matrix are found by block Lanczos, to a residual of `2e-11` times the largest
/// eigenvalue; otherwise, or if that does not converge, the whole decomposition is computed on one thread and
/// cut off. The sign of a vector is left as it falls; [`fix_sign`] makes it unique. The bits do not depend on
/// the number of threads.
///
/// # Errors
/// - [`ClusteringError::EigenDecomposition`]: the iteration for the eigenvalues did not converge or left the
///   range of `f64`.
pub(crate) fn leading_eigenpairs(
    matrix: &[f64],
    dim: usize,
    count: usize,
) -> Result<Eigenpairs, ClusteringError> {
    if krylov::pays_off(dim, count) {
        if let Some(pairs) = krylov::leading_eigenpairs(matrix, dim, count) {
            return Ok(pairs);
        }
        log::debug!("block Lanczos did not converge on a {dim} x {dim} matrix: decomposing it as a whole");
    }
    decompose(matrix, dim, count)
}

/// The whole decomposition (tridiagonalisation, divide and conquer), cut off after the `count` largest
/// values.
fn decompose(matrix: &[f64], dim: usize, count: usize) -> Result<Eigenpairs, ClusteringError> {
    // A symmetric matrix is its own transpose: its rows may be read as columns, the layout that faer prefers.
    let matrix = MatRef::from_column_major_slice(matrix, dim, dim);
    let mut values = faer::Col::<f64>::zeros(dim);
    let mut vectors = Mat::<f64>::zeros(dim, dim);
    let settings = Spec::new(Auto::<f64>::auto());
    let scratch = self_adjoint_evd_scratch::<f64>(dim, ComputeEigenvectors::Yes, Par::Seq, settings);
    self_adjoint_evd(
        matrix,
        values.as_diagonal_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        settings,
    )
    .map_err(|_| ClusteringError::EigenDecomposition { dim })?;
    if !(0..dim).all(|index| values[index].is_finite()) {
        return Err(ClusteringError::EigenDecomposition { dim });
    }
    let leading = || (0..dim).rev().take(count); // faer sorts in ascending order
    Ok(Eigenpairs {
        values: leading().map(|index| values[index]).collect(),
        vectors: leading().flat_map(|index| vectors.col(index).iter().copied()).collect(),
    })
}

/// Turns `vector` so that its entry of largest magnitude, the first among equals, is positive.
pub(crate) fn fix_sign(vector: &mut [f64]) {
    let largest = vector.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let decides = |value: &&f64| value.abs() >= largest * (1.0 - SIGN_TOLERANCE);
    if vector.iter().find(decides).is_some_and(|&value| value < 0.0) {
        for value in vector {
            *value = -*value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_two_by_two_matrix_gives_its_hand_computed_pairs() {
        // [[2, 1], [1, 2]]: 3 with (1, 1) / sqrt 2, 1 with (1, -1) / sqrt 2
        let mut pairs = leading_eigenpairs(&[2.0, 1.0, 1.0, 2.0], 2, 2).unwrap();
        pairs.vectors.chunks_mut(2).for_each(fix_sign);
        let half = 0.5_f64.sqrt();
        for (got, expected) in pairs.values.iter().zip([3.0, 1.0]) {
            assert!((got - expected).abs() < 1e-14);
        }
        for (got, expected) in pairs.vectors.iter().zip([half, half, half, -half]) {
            assert!((got - expected).abs() < 1e-14);
        }
    }

    #[test]
    fn the_pairs_solve_the_eigenvalue_equation_and_are_orthonormal() {
        for dim in [1, 3, 40, 200] {
            let value = |i: usize, j: usize| {
                ((i * j + i + j) as f64).sin() + if i == j { i as f64 / 7.0 } else { 0.0 }
            };
            let matrix: Vec<f64> = (0..dim * dim).map(|at| value(at / dim, at % dim)).collect();
            let count = dim.min(17);
            let pairs = leading_eigenpairs(&matrix, dim, count).unwrap();
            assert!(pairs.values.is_sorted_by(|a, b| a >= b));
            assert_eq!(pairs.vectors.len(), count * dim);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            for (index, vector) in pairs.vectors.chunks(dim).enumerate() {
                for (row, entry) in matrix.chunks(dim).zip(vector) {
                    assert!((dot(row, vector) - pairs.values[index] * entry).abs() < 1e-12 * dim as f64);
                }
                for (other, second) in pairs.vectors.chunks(dim).enumerate() {
                    let expected = if index == other { 1.0 } else { 0.0 };
                    assert!((dot(vector, second) - expected).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn values_that_are_not_finite_are_an_error_and_not_a_panic() {
        let result = leading_eigenpairs(&[f64::NAN; 9], 3, 3);
        assert!(matches!(result, Err(ClusteringError::EigenDecomposition { dim: 3 })));
    }

    #[test]
    fn the_sign_follows_the_largest_entry_and_the_first_of_equals() {
        let turned = |mut vector: Vec<f64>| {
            fix_sign(&mut vector);
            vector
        };
        assert_eq!(turned(vec![1.0, -3.0, 2.0]), [-1.0, 3.0, -2.0]);
        assert_eq!(turned(vec![-0.5, 0.5 + 1e-12]), [0.5, -0.5 - 1e-12]);
        assert_eq!(turned(vec![0.5, -0.5]), [0.5, -0.5]);
        assert_eq!(turned(vec![0.0, 0.0]), [0.0, 0.0]);
    }
}
