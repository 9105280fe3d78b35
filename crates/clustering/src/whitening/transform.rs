//! Applies a fitted whitening.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::Whitening;
use super::moments::center;
use crate::ClusteringError;
use crate::feature_matrix::FeatureMatrix;
use crate::matmul::{Vectors, add_inner_products};

const ROWS_PER_BLOCK: usize = 128;

impl Whitening {
    /// Whitens `features`, `[num_samples, feature_dim]`, to `[num_samples, num_components]`.
    ///
    /// Rows are centred and multiplied in `f64`, block by block, and do not depend on each other up to rounding. The
    /// bits do not depend on the number of threads.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: the features have another dimension than the fitted ones.
    /// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
    ///   [`ClusteringError::FeaturesTooLarge`]: the features cannot be whitened.
    pub fn transform(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f32>, ClusteringError> {
        if features.ncols() != self.feature_dim() {
            return Err(ClusteringError::DimensionMismatch {
                what: "the dimension of the features",
                expected: self.feature_dim(),
                actual: features.ncols(),
            });
        }
        let features = FeatureMatrix::new(features)?;
        let (dim, num_components) = (self.feature_dim(), self.num_components());
        let mut rows = vec![0.0; features.num_rows() * num_components];
        rows.par_chunks_mut(ROWS_PER_BLOCK * num_components)
            .zip(features.as_slice().par_chunks(ROWS_PER_BLOCK * dim))
            .for_each_init(Scratch::default, |scratch, (out, rows)| self.transform_block(rows, out, scratch));
        Ok(Array2::from_shape_vec((features.num_rows(), num_components), rows)
            .expect("there are num_rows rows of num_components values"))
    }

    fn transform_block(&self, rows: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        let (dim, num_components) = (self.feature_dim(), self.num_components());
        scratch.centered.resize(rows.len(), 0.0);
        for (row, centered) in rows.chunks_exact(dim).zip(scratch.centered.chunks_exact_mut(dim)) {
            center(row, &self.mean, centered);
        }
        scratch.products.clear();
        scratch.products.resize(out.len(), 0.0);
        let vectors =
            |values, count| Vectors { values, count, len: dim, vector_stride: dim, element_stride: 1 };
        let centered = vectors(&scratch.centered, rows.len() / dim);
        add_inner_products(centered, vectors(&self.components, num_components), &mut scratch.products);
        let products = scratch.products.chunks_exact(num_components);
        for (products, out) in products.zip(out.chunks_exact_mut(num_components)) {
            let norm = if self.normalize { norm(products) } else { 1.0 };
            for (out, product) in out.iter_mut().zip(products) {
                *out = if norm > 0.0 { (product / norm) as f32 } else { 0.0 };
            }
        }
    }
}

#[derive(Default)]
struct Scratch {
    centered: Vec<f64>,
    products: Vec<f64>,
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::WhiteningConfig;

    #[test]
    fn rows_are_centred_projected_scaled_and_normalised() {
        let whitening =
            Whitening { mean: vec![1.0, 2.0], components: vec![2.0, 0.0, 0.0, 1.0], normalize: true };
        let rows = whitening.transform(array![[2.5_f32, 6.0], [1.0, 0.0], [1.0, 2.0]].view()).unwrap();
        // (3, 4) / 5, (0, -2) / 2, and the mean itself, which has no direction
        assert_eq!(rows, array![[0.6_f32, 0.8], [0.0, -1.0], [0.0, 0.0]]);
        let plain = Whitening { normalize: false, ..whitening };
        assert_eq!(plain.transform(array![[2.5_f32, 6.0]].view()).unwrap(), array![[3.0_f32, 4.0]]);
    }

    #[test]
    fn whitened_components_are_uncorrelated_with_unit_variance_despite_a_large_mean() {
        let value = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * i * (j + 3)) % 1009) as f32 / 1009.0;
        let features =
            Array2::from_shape_fn((700, 12), |(i, j)| 1000.0 + value(i, j) + 2.0 * value(i, 3) * j as f32);
        let config = WhiteningConfig { num_components: 5, normalize: false, ..Default::default() };
        let rows = config.fit(features.view()).unwrap().transform(features.view()).unwrap().mapv(f64::from);
        let covariance = rows.t().dot(&rows) / 700.0;
        for ((i, j), value) in covariance.indexed_iter() {
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 1e-6, "covariance of {i} and {j}: {value}");
        }
        assert!(rows.mean_axis(ndarray::Axis(0)).unwrap().iter().all(|mean| mean.abs() < 1e-6));
    }

    #[test]
    fn equal_features_become_zero_rows() {
        let features = Array2::from_elem((3, 4), 0.1_f32);
        let whitening = WhiteningConfig::default().fit(features.view()).unwrap();
        assert_eq!(whitening.transform(features.view()).unwrap(), Array2::<f32>::zeros((3, 1)));
        assert_eq!(whitening.transform(array![[5.0_f32, 6.0, 7.0, 8.0]].view()).unwrap(), array![[0.0_f32]]);
    }

    #[test]
    fn other_dimensions_and_bad_rows_are_refused() {
        let whitening = WhiteningConfig::default().fit(array![[0.0_f32, 1.0], [1.0, 0.0]].view()).unwrap();
        let error = whitening.transform(array![[0.0_f32, 1.0, 2.0]].view()).unwrap_err();
        assert!(matches!(error, ClusteringError::DimensionMismatch { expected: 2, actual: 3, .. }));
        let error = whitening.transform(array![[0.0_f32, f32::INFINITY]].view()).unwrap_err();
        assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 0 }));
        let error = whitening.transform(Array2::zeros((0, 2)).view()).unwrap_err();
        assert!(matches!(error, ClusteringError::EmptyFeatures { .. }));
    }
}
