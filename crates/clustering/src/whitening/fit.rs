//! Finds the principal components.

use super::moments::{Centering, combine_rows, covariance, gram};
use super::products::Number;
use super::{Whitening, WhiteningConfig};
use crate::error::ClusteringError;
use crate::rows::device::checked_norms;
use crate::rows::device::{DeviceRows, Moments};
use crate::rows::host::HostRows;
use crate::rows::{Place, Rows};
use crate::symmetric_eigen::{Eigenpairs, fix_sign, leading_eigenpairs};

/// Eigenvalues up to this part of the largest count as rounding error of the covariance.
const RELATIVE_THRESHOLD: f64 = 1e-10;

/// Variance of the rounding of a number to `f32`, relative to its square, bounded from above: `(2^-24)^2`.
const ROUNDING_VARIANCE: f64 = (f32::EPSILON as f64 / 2.0) * (f32::EPSILON as f64 / 2.0);

/// Products of at most this many terms are formed in `f64`, which takes a fraction of a second.
const MOST_TERMS_IN_F64: f64 = 4e9;

/// Smallest eigenvalue, relative to the sum of all, for which products in `f32` are exact enough. Their
/// roundings are independent from piece to piece and add an error of `1e-10` to `1e-9` of that sum to the
/// eigenvalues: less than a thousandth of the smallest.
const SMALLEST_IN_F32: f64 = 2e-6;

/// As [`SMALLEST_IN_F32`] for products that a device forms in single precision over thousands of rows.
const SMALLEST_ON_A_DEVICE: f64 = 2e-5;

impl WhiteningConfig {
    /// Fits the whitening to `rows`, wherever they lie; those of the host are read two or three times.
    ///
    /// The rows are centred in `f64`. Their covariance is summed in `f64` over products of blocks of 512
    /// rows; these are formed in `f64`, or for large sources in `f32` as long as every requested eigenvalue
    /// is at least `2e-6` of the total variance. The cost is `O(num_samples * feature_dim * m)` with `m =
    /// min(num_samples, feature_dim)` for the covariance, and for the eigenvectors `O(m^2 * num_components)`,
    /// or `O(m^3)` for `m` below 1024 or below `8 * num_components`. The memory is that of a few matrices of
    /// `m` by `feature_dim` and of 4096 rows. The bits depend neither on the number of threads nor on where
    /// the rows are kept.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: `num_components` is 0.
    /// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
    ///   [`ClusteringError::FeaturesTooLarge`]: the features cannot be whitened.
    /// - [`ClusteringError::EigenDecomposition`]: the covariance is not finite.
    /// - [`ClusteringError::Device`]: the device of the rows failed.
    pub fn fit(&self, rows: &dyn Rows) -> Result<Whitening, ClusteringError> {
        self.validate()?;
        match rows.place() {
            Place::Host(rows) => self.fit_on_host(rows),
            Place::Device(rows) => self.fit_on_device(rows),
        }
    }

    fn fit_on_host(&self, source: &dyn HostRows) -> Result<Whitening, ClusteringError> {
        let centering = Centering::new(source)?;
        let pairs = principal_directions(source, &centering, self.num_components)?;
        Ok(self.whitening(centering.mean, pairs))
    }

    /// The covariance is formed on the device in single precision if every requested eigenvalue is at least
    /// `2e-5` of the total variance, and on the host otherwise.
    fn fit_on_device(&self, rows: &dyn DeviceRows) -> Result<Whitening, ClusteringError> {
        checked_norms(rows)?;
        let (num_rows, dim) = (rows.num_rows(), rows.feature_dim());
        let count = self.num_components.min(num_rows).min(dim);
        let Moments { mean, covariance } = rows.moments()?;
        let pairs = leading_eigenpairs(&covariance, dim, count)?;
        let trace: f64 = covariance.iter().step_by(dim + 1).sum();
        if pairs.values[count - 1] >= SMALLEST_ON_A_DEVICE * trace {
            return Ok(self.whitening(mean, pairs));
        }
        log::debug!("whitening forms the covariance on the host: a component has little of the variance");
        self.fit_on_host(&rows.to_host()?)
    }

    /// The whitening by the leading eigenpairs of the covariance.
    fn whitening(&self, mean: Vec<f64>, pairs: Eigenpairs) -> Whitening {
        let Eigenpairs { values, mut vectors } = pairs;
        let largest_mean = mean.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let rounding = ROUNDING_VARIANCE * largest_mean.powi(2);
        let threshold = values.first().map_or(0.0, |largest| (RELATIVE_THRESHOLD * largest).max(rounding));
        let rank = values.iter().take_while(|&&value| value > threshold).count();
        vectors.truncate(rank * mean.len());
        for (vector, value) in vectors.chunks_exact_mut(mean.len()).zip(values) {
            fix_sign(vector);
            if self.whiten {
                let deviation = value.sqrt();
                vector.iter_mut().for_each(|entry| *entry /= deviation);
            }
        }
        if rank < self.num_components {
            log::debug!("whitening keeps {rank} components of {} asked for", self.num_components);
        }
        if rank == 0 {
            vectors = vec![0.0; mean.len()];
        }
        Whitening { mean, components: vectors, normalize: self.normalize }
    }
}

/// The leading eigenpairs of the covariance, at most `count`; vectors of vanishing eigenvalues may be zero.
fn principal_directions(
    source: &dyn HostRows,
    centering: &Centering,
    count: usize,
) -> Result<Eigenpairs, ClusteringError> {
    let (num_rows, dim) = (source.num_rows(), source.feature_dim());
    let order = num_rows.min(dim);
    let count = count.min(order);
    if num_rows as f64 * dim as f64 * order as f64 > MOST_TERMS_IN_F64 {
        let (pairs, trace) = eigenpairs_in::<f32>(source, centering, count)?;
        if pairs.values[count - 1] >= SMALLEST_IN_F32 * trace {
            return Ok(pairs);
        }
        log::debug!("whitening forms the covariance in f64: a component has little of the variance");
    }
    Ok(eigenpairs_in::<f64>(source, centering, count)?.0)
}

/// The leading eigenpairs of the covariance, whose products are formed in `T`, and its trace.
fn eigenpairs_in<T: Number>(
    source: &dyn HostRows,
    centering: &Centering,
    count: usize,
) -> Result<(Eigenpairs, f64), ClusteringError> {
    let (num_rows, dim) = (source.num_rows(), source.feature_dim());
    let trace = |matrix: &[f64], order: usize| matrix.iter().step_by(order + 1).sum();
    if num_rows >= dim {
        let covariance = covariance::<T>(source, centering);
        return Ok((leading_eigenpairs(&covariance, dim, count)?, trace(&covariance, dim)));
    }
    // With X the centred rows: if X X^T u = n lambda u, then X^T u is an eigenvector of X^T X for the same
    // value.
    let mut buffer = Vec::new();
    let rows = source.read_rows(0, num_rows, &mut buffer);
    let gram = gram::<T>(rows, centering);
    let Eigenpairs { values, vectors } = leading_eigenpairs(&gram, num_rows, count)?;
    let mut vectors = combine_rows(rows, centering, &vectors);
    for vector in vectors.chunks_exact_mut(dim) {
        let norm = vector.iter().map(|entry| entry * entry).sum::<f64>().sqrt();
        if norm > 0.0 {
            vector.iter_mut().for_each(|entry| *entry /= norm);
        }
    }
    Ok((Eigenpairs { values, vectors }, trace(&gram, num_rows)))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, array, concatenate, s};

    use super::*;

    fn pseudo_random(num_rows: usize, dim: usize) -> Array2<f32> {
        let mut state = 1_u64;
        Array2::from_shape_simple_fn((num_rows, dim), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
    }

    #[test]
    fn a_hand_computed_cloud_gives_its_mean_and_scaled_directions() {
        // Centred: (+-2, 0), (0, +-1): covariance diag(8/4, 2/4).
        let features = array![[12.0_f32, 5.0], [8.0, 5.0], [10.0, 6.0], [10.0, 4.0]];
        let whitening = WhiteningConfig::default().fit(&features).unwrap();
        assert_eq!(whitening.mean, [10.0, 5.0]);
        let expected = [1.0 / 2.0_f64.sqrt(), 0.0, 0.0, 1.0 / 0.5_f64.sqrt()];
        for (got, expected) in whitening.components.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-14, "{:?}", whitening.components);
        }
        let config = WhiteningConfig { num_components: 1, whiten: false, normalize: false };
        let projection = config.fit(&features).unwrap();
        assert_eq!((projection.num_components(), projection.feature_dim()), (1, 2));
        assert!((projection.components[0] - 1.0).abs() < 1e-14);
    }

    #[test]
    fn the_gram_matrix_gives_the_components_of_the_covariance() {
        // Doubling the rows changes neither the mean nor the covariance, but the way they are decomposed.
        let few = pseudo_random(20, 30);
        let many = concatenate![ndarray::Axis(0), few, few];
        let config = WhiteningConfig { num_components: 7, ..Default::default() };
        let (by_gram, by_covariance) = (config.fit(&few).unwrap(), config.fit(&many).unwrap());
        assert_eq!(by_gram.num_components(), 7);
        for (a, b) in by_gram.components.iter().zip(&by_covariance.components) {
            assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        }
    }

    #[test]
    fn directions_without_variance_are_left_out() {
        // 20 samples span at most 19 directions, whichever matrix is decomposed.
        let few = pseudo_random(20, 30);
        let many = concatenate![ndarray::Axis(0), few, few];
        assert_eq!(WhiteningConfig::default().fit(&few).unwrap().num_components(), 19);
        assert_eq!(WhiteningConfig::default().fit(&many).unwrap().num_components(), 19);
        // Columns that are constant, repeated or sums of others add no direction.
        let mut features = pseudo_random(200, 6);
        features.column_mut(2).fill(123.456);
        let (first, second) = (features.column(0).to_owned(), features.column(1).to_owned());
        features.column_mut(3).assign(&first);
        features.column_mut(4).assign(&(&first * 0.5 - &second * 0.25));
        assert_eq!(WhiteningConfig::default().fit(&features).unwrap().num_components(), 3);
    }

    #[test]
    fn rounding_of_a_large_constant_is_not_taken_for_a_direction() {
        let mut features = pseudo_random(100, 3);
        // The spacing of f32 at 1e6 is 0.06: only rounding distinguishes these values.
        features.column_mut(1).mapv_inplace(|value| 1e6 + 0.1 * value);
        let last = features.slice(s![.., 1]).iter().copied().collect::<Vec<_>>();
        assert!(last.iter().any(|&value| value != last[0]));
        assert_eq!(WhiteningConfig::default().fit(&features).unwrap().num_components(), 2);
    }

    #[test]
    fn equal_features_leave_one_component_of_zeros() {
        for num_rows in [1, 2, 50] {
            let features = Array2::from_shape_fn((num_rows, 4), |(_, j)| 0.1 + j as f32);
            let whitening = WhiteningConfig::default().fit(&features).unwrap();
            assert_eq!(whitening.num_components(), 1);
            assert_eq!(whitening.components, [0.0; 4]);
        }
    }

    #[test]
    fn bad_features_are_refused_with_their_row() {
        let config = WhiteningConfig::default();
        let error = config.fit(&array![[1.0_f32, 2.0], [f32::NAN, 0.0]]).unwrap_err();
        assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 1 }));
        let error = config.fit(&Array2::zeros((0, 3))).unwrap_err();
        assert!(matches!(error, ClusteringError::EmptyFeatures { num_samples: 0, feature_dim: 3 }));
        let config = WhiteningConfig { num_components: 0, ..config };
        assert!(matches!(config.fit(&array![[1.0]]), Err(ClusteringError::InvalidConfig { .. })));
    }

    /// Features of the given rank with decaying variances, large enough for products in `f32`.
    fn many_features(rank: usize) -> Array2<f32> {
        let (num_rows, dim) = (4000, 1024);
        let scales = Array1::from_shape_fn(rank, |i| 1.0 / (1.0 + i as f32).sqrt());
        let features = (pseudo_random(num_rows, rank) * scales).dot(&pseudo_random(rank, dim));
        assert!(num_rows as f64 * dim as f64 * dim as f64 > MOST_TERMS_IN_F64);
        features + 5.0
    }

    #[test]
    fn products_in_f32_give_the_components_of_those_in_f64() {
        let features = many_features(300);
        let centering = Centering::new(&features.view()).unwrap();
        let (single, trace) = eigenpairs_in::<f32>(&features.view(), &centering, 60).unwrap();
        let (double, _) = eigenpairs_in::<f64>(&features.view(), &centering, 60).unwrap();
        assert!(single.values[59] > SMALLEST_IN_F32 * trace);
        for (a, b) in single.values.iter().zip(&double.values) {
            assert!((a - b).abs() < 1e-8 * trace, "{a} is not {b}");
        }
        for (a, b) in single.vectors.chunks(1024).zip(double.vectors.chunks(1024)) {
            let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!(cosine.abs() > 1.0 - 1e-8, "the cosine of two vectors is {cosine}");
        }
        let config = WhiteningConfig { num_components: 60, ..Default::default() };
        let whitening = config.fit(&features).unwrap();
        let deviation = single.values[0].sqrt();
        assert!((whitening.components[0].abs() - (single.vectors[0] / deviation).abs()).abs() < 1e-12);
    }

    #[test]
    fn the_rounding_of_products_in_f32_is_not_taken_for_a_direction() {
        let config = WhiteningConfig { num_components: 60, ..Default::default() };
        assert_eq!(config.fit(&many_features(40)).unwrap().num_components(), 40);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits_in_f32() {
        let features = many_features(300);
        let config = WhiteningConfig { num_components: 60, ..Default::default() };
        let with_threads = |num_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
            pool.install(|| config.fit(&features).unwrap())
        };
        assert_eq!(with_threads(1), with_threads(3));
    }
}
