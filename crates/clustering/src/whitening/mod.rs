//! PCA, whitening and L2 normalisation of features, as the original code does them with faiss before
//! clustering.

mod config;
mod fit;
mod moments;
mod products;
mod projection;
mod transform;

pub use config::WhiteningConfig;

/// A fitted map from features to whitened rows, made by [`WhiteningConfig::fit`].
///
/// ```text
/// y_c = <v_c, x - mean> / sqrt(lambda_c)      y <- y / ||y||
/// ```
///
/// where `v_c` are the eigenvectors of the covariance of the fitted features with the largest eigenvalues
/// `lambda_c`, in descending order. Without [`WhiteningConfig::whiten`] the square root is left out, without
/// [`WhiteningConfig::normalize`] the last step.
///
/// The covariance is divided by the number of samples, so that unnormalised components have variance 1 over
/// the fitted features. The original divides by nothing, which makes all components `sqrt(num_samples)` times
/// smaller; after the L2 normalisation there is no difference. A row equal to the mean has no direction and
/// stays zero, where the original returns NaN. The entry of largest magnitude of each eigenvector is
/// positive, so equal features lead to equal rows.
///
/// # Rank
/// A direction is kept only if its eigenvalue exceeds `1e-10` times the largest and `2^-48` times the largest
/// squared mean of a feature. Below, the variance is rounding error, of the sums or of the `f32` features
/// themselves, and scaling it up to variance 1 would give noise the weight of a feature. So there are at most
/// `feature_dim` and at most `num_samples - 1` components. If no direction has variance, all images having
/// equal features, a single component is kept that maps every row to 0.
///
/// # References
/// - Caron et al., *Deep Clustering for Unsupervised Learning of Visual Features*, ECCV 2018, section 3.3.
/// - Jégou, Chum, *Negative evidences and co-occurrences in image retrieval: the benefit of PCA and
///   whitening*, ECCV 2012.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    /// Mean of the fitted features, `[feature_dim]`.
    pub(crate) mean: Vec<f64>,
    /// Eigenvectors, divided by the standard deviation if whitened; `[num_components, feature_dim]`,
    /// row-major.
    pub(crate) components: Vec<f64>,
    /// Whether rows are scaled to unit norm.
    pub(crate) normalize: bool,
}

impl Whitening {
    /// Number of components kept, the columns of the whitened rows.
    pub fn num_components(&self) -> usize {
        self.components.len() / self.mean.len()
    }

    /// Mean of the fitted features, `[feature_dim]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The projection of centred features, `[num_components, feature_dim]`, row-major: the eigenvectors,
    /// divided by the standard deviation along them if the rows are whitened.
    pub fn components(&self) -> &[f64] {
        &self.components
    }

    /// Whether rows are scaled to unit norm.
    pub fn normalizes(&self) -> bool {
        self.normalize
    }

    /// Number of columns of the features.
    pub fn feature_dim(&self) -> usize {
        self.mean.len()
    }
}
