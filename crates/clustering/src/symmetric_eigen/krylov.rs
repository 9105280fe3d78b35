//! The leading eigenpairs of a large symmetric matrix by block Lanczos with full reorthogonalisation and
//! thick restart.
//!
//! The matrix is projected on a growing orthonormal basis of the Krylov space of a random block. The
//! eigenpairs of the small projected matrix (Ritz pairs) approximate those of the large one, the outermost
//! first. A full basis is replaced by its leading Ritz vectors, from which the space grows on. A Krylov space
//! need not hold all directions of a repeated eigenvalue, so the rest of the space is probed in the end, and
//! the block widened if one is missing.
//!
//! - Golub, Underwood, *The block Lanczos method for computing eigenvalues*, Mathematical Software III, 1977.
//! - Wu, Simon, *Thick-restart Lanczos method for large symmetric eigenvalue problems*, SIAM J. Matrix Anal.
//!   Appl. 22 (2), 2000.

use super::basis::Basis;
use super::{Eigenpairs, decompose};

/// Vectors by which the basis grows at first.
const BLOCK: usize = 24;

/// Largest residual `||C v - lambda v||` of an eigenpair, relative to the largest eigenvalue.
const TOLERANCE: f64 = 1e-11;

/// Rounding error that the computed residual may have beyond the tolerance, relative to the largest
/// eigenvalue.
const ROUNDING: f64 = 1e-11;

/// Blocks with which missing directions are sought.
const PROBE_BLOCKS: usize = 4;

/// Whether the iteration is expected to cost less than the whole decomposition.
pub(super) fn pays_off(dim: usize, count: usize) -> bool {
    dim >= 1024 && count <= dim / 8
}

/// The `count` largest eigenvalues of the symmetric `matrix`, `[dim, dim]`, with their eigenvectors, or
/// `None` if they did not converge.
///
/// Needs a `dim` and a `count` for which it [`pays_off`]. The bits do not depend on the number of threads.
pub(super) fn leading_eigenpairs(matrix: &[f64], dim: usize, count: usize) -> Option<Eigenpairs> {
    let capacity = (4 * count).max(512).min(dim / 2);
    let mut basis = Basis::new(matrix, dim);
    let mut next = basis.random_block(BLOCK)?;
    // A check decomposes the projected matrix: it is not made before it is likely to succeed.
    let mut next_check = (5 * count / 2).max(2 * count + 2 * BLOCK).min(capacity);
    let mut num_products = 0;
    while num_products <= 2 * dim {
        num_products += next.len() / dim;
        let residuals = basis.grow(&mut next)?;
        let is_full = basis.len() + next.len() / dim > capacity;
        if basis.len() < next_check && !is_full {
            continue;
        }
        next_check = basis.len() + basis.len() / 8;
        let kept = count + count / 4 + BLOCK;
        let ritz = decompose(&basis.projected_matrix(), basis.len(), kept.min(basis.len())).ok()?;
        let largest = ritz.values[0].abs();
        let worst = ritz.vectors.chunks_exact(basis.len()).take(count).map(|vector| residuals.norm(vector));
        if worst.fold(0.0, f64::max) <= TOLERANCE * largest {
            let pairs = basis.ritz_pairs(&ritz, count);
            let tolerance = (TOLERANCE + ROUNDING) * largest;
            if pairs.largest_residual(matrix, dim) <= tolerance
                && is_complete(matrix, dim, &pairs, tolerance)?
            {
                return Some(pairs);
            }
            basis.widen(&mut next, BLOCK)?;
        }
        if is_full {
            basis.restart(&ritz);
        }
    }
    None
}

/// Whether no direction outside the span of `pairs` was found to belong before the last of them.
fn is_complete(matrix: &[f64], dim: usize, pairs: &Eigenpairs, tolerance: f64) -> Option<bool> {
    let mut basis = Basis::from_pairs(matrix, dim, pairs);
    let mut next = basis.random_block(BLOCK)?;
    for _ in 0..PROBE_BLOCKS {
        basis.grow(&mut next)?;
    }
    let count = pairs.values.len();
    let ritz = decompose(&basis.projected_matrix(), basis.len(), count).ok()?;
    Some(ritz.values[count - 1] <= pairs.values[count - 1] + tolerance)
}

#[cfg(test)]
/// `H diag(values) H` with the reflection `H = 1 - 2 u u^T`, which leaves no entry at zero.
pub(super) fn with_spectrum(values: &[f64]) -> Vec<f64> {
    let dim = values.len();
    let mut u: Vec<f64> = (0..dim).map(|i| 1.0 + (i as f64 * 0.7).sin()).collect();
    let norm = u.iter().map(|v| v * v).sum::<f64>().sqrt();
    u.iter_mut().for_each(|v| *v /= norm);
    let quadratic: f64 = u.iter().zip(values).map(|(u, v)| u * u * v).sum();
    let mut matrix = vec![0.0; dim * dim];
    for i in 0..dim {
        for j in 0..dim {
            let diagonal = if i == j { values[i] } else { 0.0 };
            matrix[i * dim + j] = diagonal - 2.0 * u[i] * u[j] * (values[i] + values[j] - 2.0 * quadratic);
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_are_the_leading_ones_whatever_the_spectrum() {
        let dim = 1024;
        type Spectrum = fn(usize) -> f64;
        let spectra: [(&str, Spectrum); 8] = [
            ("a slowly decaying one", |i| 1.0 / (i as f64 + 1.0).sqrt()),
            ("a fast decaying one", |i| (-(i as f64) / 10.0).exp()),
            ("a flat one", |i| 2.0 - i as f64 / 1024.0),
            ("rank 40", |i| if i < 40 { 1.0 + i as f64 } else { 0.0 }),
            ("100 equal ones before the others", |i| if i < 100 { 10.0 } else { 1.0 / i as f64 }),
            ("clusters", |i| 1.0 / (1.0 + (i / 10) as f64) + 1e-9 * (i % 10) as f64),
            ("the identity", |_| 1.0),
            ("zero", |_| 0.0),
        ];
        for (name, value) in spectra {
            let mut spectrum: Vec<f64> = (0..dim).map(value).collect();
            let matrix = with_spectrum(&spectrum);
            spectrum.sort_by(|a, b| b.total_cmp(a));
            for count in [1, 100] {
                assert!(pays_off(dim, count));
                let pairs = leading_eigenpairs(&matrix, dim, count);
                // Between eigenvalues that lie close everywhere it may take too long.
                assert!(pairs.is_some() || name == "a flat one", "{name} did not converge");
                let Some(pairs) = pairs else { continue };
                let largest = spectrum[0];
                for (got, expected) in pairs.values.iter().zip(&spectrum) {
                    assert!((got - expected).abs() <= 1e-10 * largest, "{name}: {got} is not {expected}");
                }
                assert!(pairs.largest_residual(&matrix, dim) <= 2e-11 * largest, "{name}");
                for (i, a) in pairs.vectors.chunks(dim).enumerate() {
                    for (j, b) in pairs.vectors.chunks(dim).enumerate() {
                        let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                        assert!((product - f64::from(i == j)).abs() < 1e-12, "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let matrix = with_spectrum(&(0..1024).map(|i| 1.0 / (i as f64 + 1.0)).collect::<Vec<_>>());
        let with_threads = |num_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
            pool.install(|| leading_eigenpairs(&matrix, 1024, 30).unwrap())
        };
        let (one, three) = (with_threads(1), with_threads(3));
        assert!(one.values == three.values && one.vectors == three.vectors);
    }

    #[test]
    fn a_matrix_without_finite_values_does_not_converge() {
        assert!(leading_eigenpairs(&vec![f64::NAN; 1024 * 1024], 1024, 3).is_none());
    }
}
