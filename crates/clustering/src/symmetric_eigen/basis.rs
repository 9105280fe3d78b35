//! An orthonormal basis that grows into the Krylov space of a symmetric matrix, and the projection of the
//! matrix.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::Eigenpairs;
use super::vector::{add_multiple, dot};
use crate::matmul::{Vectors, add_inner_products};
use crate::simd::Instructions;

/// Rows or columns of the matrix that one task works on.
const ROWS_PER_TASK: usize = 256;

/// Vectors that one task works on.
const VECTORS_PER_TASK: usize = 32;

/// Length below which the rest of a vector counts as rounding error, relative to the entries of the
/// projection.
const RELATIVE_FLOOR: f64 = 1e-14;

/// Rounds of orthogonalisation after which a block is abandoned; two suffice unless the basis fills the
/// space.
const MOST_ROUNDS: usize = 6;

/// Orthonormal vectors `V` and the projection `V^T C V` of the symmetric matrix `C`.
pub(super) struct Basis<'a> {
    matrix: &'a [f64],
    dim: usize,
    /// `[len, dim]`.
    vectors: Vec<f64>,
    /// Column `j` of the projection, down to the diagonal at least.
    columns: Vec<Vec<f64>>,
    rng: ChaCha8Rng,
}

/// The part of the images of the basis vectors outside the basis: `C V = V (V^T C V) + Q R`, where `R` is
/// zero but for the columns of the last block.
pub(super) struct Residuals {
    /// The columns of the last block, `[width, width]`.
    triangle: Vec<f64>,
    width: usize,
}

impl Residuals {
    /// `||C V y - V (V^T C V) y||` for the coefficients `y` of a vector of the basis.
    pub(super) fn norm(&self, coefficients: &[f64]) -> f64 {
        let last = &coefficients[coefficients.len() - self.width..];
        self.triangle.chunks_exact(self.width).map(|row| dot(row, last).powi(2)).sum::<f64>().sqrt()
    }
}

impl<'a> Basis<'a> {
    /// No vectors; the random ones to come are the same every time.
    pub(super) fn new(matrix: &'a [f64], dim: usize) -> Self {
        Self { matrix, dim, vectors: Vec::new(), columns: Vec::new(), rng: ChaCha8Rng::seed_from_u64(0) }
    }

    /// The eigenvectors of `pairs`.
    pub(super) fn from_pairs(matrix: &'a [f64], dim: usize, pairs: &Eigenpairs) -> Self {
        // Another seed than that of the basis in which they were found.
        let rng = ChaCha8Rng::seed_from_u64(1);
        let columns = diagonal(&pairs.values);
        Self { matrix, dim, vectors: pairs.vectors.clone(), columns, rng }
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// `V^T C V`, `[len, len]`.
    pub(super) fn projected_matrix(&self) -> Vec<f64> {
        let len = self.len();
        let mut projected = vec![0.0; len * len];
        for (j, column) in self.columns.iter().enumerate() {
            for (i, &value) in column.iter().enumerate().take(j + 1) {
                projected[i * len + j] = value;
                projected[j * len + i] = value;
            }
        }
        projected
    }

    /// `width` random orthonormal vectors outside the basis, `[width, dim]`.
    pub(super) fn random_block(&mut self, width: usize) -> Option<Vec<f64>> {
        let mut block = Vec::new();
        self.widen(&mut block, width)?;
        Some(block)
    }

    /// Adds `width` random vectors to the orthonormal `block` outside the basis.
    pub(super) fn widen(&mut self, block: &mut Vec<f64>, width: usize) -> Option<()> {
        let rng = &mut self.rng;
        block.extend((0..width * self.dim).map(|_| rng.random_range(-1.0..1.0)));
        self.orthonormalize(block, 0.0).map(|_| ())
    }

    /// Takes in the orthonormal `block` outside the basis and replaces it by that part of its image which
    /// lies outside, made orthonormal: the next block of the Krylov space. Random vectors stand where the
    /// image has less dimensions. `None` if the space is used up.
    pub(super) fn grow(&mut self, block: &mut Vec<f64>) -> Option<Residuals> {
        let width = block.len() / self.dim;
        self.vectors.extend_from_slice(block);
        let mut image = times_vectors(self.matrix, self.dim, block);
        let coefficients = self.project_out(&mut image, width);
        let columns = (0..width).map(|j| coefficients.iter().skip(j).step_by(width).copied().collect());
        self.columns.extend(columns);
        transpose(&image, width, block);
        let scale = coefficients.iter().fold(0.0_f64, |scale, value| scale.max(value.abs()));
        let triangle = self.orthonormalize(block, RELATIVE_FLOOR * scale)?;
        Some(Residuals { triangle, width })
    }

    /// Replaces the basis by the Ritz vectors `ritz`, given as coefficients of the basis.
    pub(super) fn restart(&mut self, ritz: &Eigenpairs) {
        self.vectors = self.combinations(&ritz.vectors);
        self.columns = diagonal(&ritz.values);
    }

    /// The first `count` Ritz pairs.
    pub(super) fn ritz_pairs(&self, ritz: &Eigenpairs, count: usize) -> Eigenpairs {
        let vectors = self.combinations(&ritz.vectors[..count * self.len()]);
        Eigenpairs { values: ritz.values[..count].to_vec(), vectors }
    }

    /// The vectors with the given coefficients, `[count, len]`, of the basis.
    fn combinations(&self, coefficients: &[f64]) -> Vec<f64> {
        let (len, dim) = (self.len(), self.dim);
        let entries = Vectors::columns(&self.vectors, dim);
        let mut combined = vec![0.0; coefficients.len() / len * dim];
        combined
            .par_chunks_mut(VECTORS_PER_TASK * dim)
            .zip(coefficients.par_chunks(VECTORS_PER_TASK * len))
            .for_each(|(out, coefficients)| {
                add_inner_products(Vectors::rows(coefficients, len), entries, out)
            });
        combined
    }

    /// Subtracts from the columns of `block`, `[dim, width]`, their projections on the basis; returns the
    /// coefficients of these, `[len, width]`.
    fn project_out(&self, block: &mut [f64], width: usize) -> Vec<f64> {
        let (len, dim) = (self.vectors.len() / self.dim, self.dim);
        let mut coefficients = vec![0.0; len * width];
        let block_columns = Vectors::columns(block, width);
        coefficients
            .par_chunks_mut(VECTORS_PER_TASK * width)
            .zip(self.vectors.par_chunks(VECTORS_PER_TASK * dim))
            .for_each(|(out, vectors)| add_inner_products(Vectors::rows(vectors, dim), block_columns, out));
        if len > 0 {
            let negated: Vec<f64> = coefficients.iter().map(|value| -value).collect();
            block.par_chunks_mut(ROWS_PER_TASK * width).enumerate().for_each(|(task, out)| {
                let entries = Vectors {
                    values: &self.vectors[task * ROWS_PER_TASK..],
                    count: out.len() / width,
                    len,
                    vector_stride: 1,
                    element_stride: dim,
                };
                add_inner_products(entries, Vectors::columns(&negated, width), out);
            });
        }
        coefficients
    }

    /// Makes the vectors of `block`, `[width, dim]`, orthonormal among each other and to the basis, and
    /// returns the `R` of the first QR decomposition. Vectors not longer than `floor` are replaced by random
    /// ones.
    fn orthonormalize(&mut self, block: &mut Vec<f64>, floor: f64) -> Option<Vec<f64>> {
        let (width, dim) = (block.len() / self.dim, self.dim);
        let (triangle, _) = self.gram_schmidt(block, floor);
        for _ in 0..MOST_ROUNDS {
            let mut columns = Vec::new();
            transpose(block, dim, &mut columns);
            self.project_out(&mut columns, width);
            transpose(&columns, width, block);
            // The remainder of a unit vector that lies almost in the basis is rounding error.
            let (_, shortest) = self.gram_schmidt(block, RELATIVE_FLOOR);
            if shortest > 0.5 {
                return Some(triangle);
            }
        }
        None
    }

    /// The QR decomposition of the vectors of `block`: overwrites them with `Q`, returns `R`, `[width,
    /// width]`, and the smallest part of a vector's length that was left of it, 0 if one was replaced.
    fn gram_schmidt(&mut self, block: &mut [f64], floor: f64) -> (Vec<f64>, f64) {
        Instructions::best().compile_for(
            #[inline(always)]
            || self.gram_schmidt_inlined(block, floor),
        )
    }

    #[inline(always)]
    fn gram_schmidt_inlined(&mut self, block: &mut [f64], floor: f64) -> (Vec<f64>, f64) {
        let (width, dim) = (block.len() / self.dim, self.dim);
        let mut triangle = vec![0.0; width * width];
        let mut shortest = 1.0_f64;
        for i in 0..width {
            let (done, rest) = block.split_at_mut(i * dim);
            let vector = &mut rest[..dim];
            let before = dot(vector, vector).sqrt();
            // Twice is enough (Parlett, *The Symmetric Eigenvalue Problem*, section 6.9).
            for _ in 0..2 {
                for (j, other) in done.chunks_exact(dim).enumerate() {
                    triangle[j * width + i] += take_out(other, vector);
                }
            }
            let mut norm = dot(vector, vector).sqrt();
            if norm > floor {
                triangle[i * width + i] = norm;
                shortest = shortest.min(norm / before);
            } else {
                vector.fill_with(|| self.rng.random_range(-1.0..1.0));
                for _ in 0..2 {
                    for other in done.chunks_exact(dim) {
                        take_out(other, vector);
                    }
                }
                norm = dot(vector, vector).sqrt();
                shortest = 0.0;
            }
            vector.iter_mut().for_each(|value| *value /= norm);
        }
        (triangle, shortest)
    }
}

/// `C v` for every vector `v` of `vectors`, `[count, dim]`: `[dim, count]`.
pub(super) fn times_vectors(matrix: &[f64], dim: usize, vectors: &[f64]) -> Vec<f64> {
    let count = vectors.len() / dim;
    let mut images = vec![0.0; dim * count];
    images.par_chunks_mut(ROWS_PER_TASK * count).zip(matrix.par_chunks(ROWS_PER_TASK * dim)).for_each(
        |(out, matrix)| add_inner_products(Vectors::rows(matrix, dim), Vectors::rows(vectors, dim), out),
    );
    images
}

/// The columns of a diagonal matrix.
fn diagonal(values: &[f64]) -> Vec<Vec<f64>> {
    let column = |(j, &value): (usize, &f64)| {
        let mut column = vec![0.0; j + 1];
        column[j] = value;
        column
    };
    values.iter().enumerate().map(column).collect()
}

/// Writes the transpose of `matrix`, `[_, num_columns]`, to `out`.
fn transpose(matrix: &[f64], num_columns: usize, out: &mut Vec<f64>) {
    out.clear();
    for column in 0..num_columns {
        out.extend(matrix.iter().skip(column).step_by(num_columns));
    }
}

/// Subtracts from `vector` its projection on the unit vector `other` and returns the length of that.
#[inline(always)]
fn take_out(other: &[f64], vector: &mut [f64]) -> f64 {
    let length = dot(other, vector);
    add_multiple(vector, -length, other);
    length
}
