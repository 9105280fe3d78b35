//! Settings of Power Iteration Clustering.

use serde::{Deserialize, Serialize};

use crate::error::ClusteringError;

/// Settings of [`Pic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PicConfig {
    /// Number of nearest neighbours that each sample is linked to, at least 1 and below the number of
    /// samples. Default: 5, as in the original code.
    pub num_neighbors: usize,
    /// Width `sigma` of the kernel `exp(-d^2 / sigma^2)`, a positive number. Default: 0.2, as in the original
    /// code, meant for rows of unit norm.
    pub kernel_bandwidth: f64,
    /// Weight `alpha` of the graph in the power iteration, between 0 and 1 and neither of them. Default:
    /// 0.001, as in the original code.
    pub damping: f64,
    /// Most power iterations, at least 1. Default: 200, as in the original code; with its damping about 8 are
    /// enough until nothing changes any more, where the iteration ends.
    pub num_iterations: usize,
    /// Whether samples that are a cluster of their own join the cluster of their first neighbour that is not.
    /// Default: true, as in the original code.
    pub join_singletons: bool,
}

impl Default for PicConfig {
    fn default() -> Self {
        Self {
            num_neighbors: 5,
            kernel_bandwidth: 0.2,
            damping: 0.001,
            num_iterations: 200,
            join_singletons: true,
        }
    }
}

impl PicConfig {
    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: names the field, its value and the values allowed.
    pub fn validate(&self) -> Result<(), ClusteringError> {
        check_graph_settings(self.num_neighbors, self.kernel_bandwidth, self.num_iterations)?;
        if !(self.damping > 0.0 && self.damping < 1.0) {
            let (field, value) = ("damping", self.damping.to_string());
            return Err(ClusteringError::InvalidConfig { field, value, allowed: "above 0 and below 1" });
        }
        Ok(())
    }

    /// Makes the algorithm.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: a field is out of range.
    pub fn init(&self) -> Result<Pic, ClusteringError> {
        self.validate()?;
        Ok(Pic { config: self.clone() })
    }
}

/// Checks the settings of the graph and of the iteration on it, which both variants have.
pub(super) fn check_graph_settings(
    num_neighbors: usize,
    kernel_bandwidth: f64,
    num_iterations: usize,
) -> Result<(), ClusteringError> {
    for (field, value) in [("num_neighbors", num_neighbors), ("num_iterations", num_iterations)] {
        if value == 0 {
            let allowed = "at least 1";
            return Err(ClusteringError::InvalidConfig { field, value: value.to_string(), allowed });
        }
    }
    if !(kernel_bandwidth > 0.0 && kernel_bandwidth.is_finite()) {
        let (field, value) = ("kernel_bandwidth", kernel_bandwidth.to_string());
        return Err(ClusteringError::InvalidConfig { field, value, allowed: "a finite number above 0" });
    }
    Ok(())
}

/// Power Iteration Clustering, made by [`PicConfig::init`]. It finds the number of clusters by itself.
///
/// Samples are linked to their nearest neighbours, without themselves:
///
/// ```text
/// A_ij = exp(-||x_i - x_j||^2 / sigma^2) for the neighbours j of i, 0 otherwise     W = A + A^T
/// v <- u / ||u||_1,  u = alpha W^T v + (1 - alpha) / n,  from v = 1/n
/// ```
///
/// Then each sample points to the neighbour in `W` with the highest `W_ij (v_j - v_i)`, or to itself if none
/// is positive, the first in ascending order among equals. Samples whose pointers lead to the same end form a
/// cluster, numbered by the ends in ascending order. Finally, singletons join the cluster of their nearest
/// neighbour that was none, if they have one; the clusters left empty by this are dropped.
///
/// The centroids of the [`Clustering`](crate::Clustering) are the means of the members. The nearest centroid
/// of a sample need not be that of its cluster. There are no [`IterationStats`](crate::IterationStats): the
/// power iteration is negligible beside the search for neighbours, whose progress the observer is notified
/// of. The seed is not used: nothing is random.
///
/// # Differences from the original
/// All is computed in `f64`. The values of `v` differ by little more than the rounding error of `f32`, in
/// which the original computes: there many samples are tied with their neighbours and stay alone.
///
/// # Cost
/// `O(num_samples^2 * feature_dim)` for the exact search; `O(num_samples * num_neighbors)` memory.
///
/// # References
/// - Lin, Cohen, *Power Iteration Clustering*, ICML 2010.
/// - Caron et al., *Deep Clustering for Unsupervised Learning of Visual Features*, ECCV 2018, and their code,
///   which this follows.
/// - Douze et al., *An evaluation of large-scale methods for image instance and class discovery*, 2017.
#[derive(Debug, Clone, PartialEq)]
pub struct Pic {
    pub(super) config: PicConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_out_of_range_is_named() {
        let valid = PicConfig::default();
        for (config, name) in [
            (PicConfig { num_neighbors: 0, ..valid.clone() }, "num_neighbors"),
            (PicConfig { num_iterations: 0, ..valid.clone() }, "num_iterations"),
            (PicConfig { kernel_bandwidth: 0.0, ..valid.clone() }, "kernel_bandwidth"),
            (PicConfig { kernel_bandwidth: f64::NAN, ..valid.clone() }, "kernel_bandwidth"),
            (PicConfig { kernel_bandwidth: f64::INFINITY, ..valid.clone() }, "kernel_bandwidth"),
            (PicConfig { damping: 0.0, ..valid.clone() }, "damping"),
            (PicConfig { damping: 1.0, ..valid.clone() }, "damping"),
            (PicConfig { damping: f64::NAN, ..valid.clone() }, "damping"),
        ] {
            let error = config.init().unwrap_err();
            assert!(
                matches!(error, ClusteringError::InvalidConfig { field, .. } if field == name),
                "{error}"
            );
        }
        assert!(valid.init().is_ok());
    }
}
