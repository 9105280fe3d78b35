//! Agreement of clusters with labels.

use serde::{Deserialize, Serialize};

use super::contingency::Contingency;
use super::measures::NmiNorm;
use crate::error::EvaluationError;

/// How well clusters agree with labels; see [`cluster_agreement`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClusterAgreement {
    /// Normalised mutual information with the arithmetic mean of the entropies, in `[0, 1]`.
    pub nmi_arithmetic: f64,
    /// Normalised mutual information with the geometric mean of the entropies, in `[0, 1]`.
    pub nmi_geometric: f64,
    /// Adjusted Rand index, at most 1; 0 for chance.
    pub adjusted_rand_index: f64,
    /// Share of samples that have the most frequent label of their cluster, in `(0, 1]`. It rises with the
    /// number of clusters, whatever they are.
    pub purity: f64,
    /// Samples with a label; the others do not count.
    pub num_labelled: usize,
}

/// Compares the cluster of each sample with its label, over the samples that have one.
///
/// # Errors
/// - [`EvaluationError::LengthMismatch`]: the lists differ in length.
/// - [`EvaluationError::NoLabels`]: no sample has a label.
pub fn cluster_agreement(
    assignments: &[u32],
    labels: &[Option<u32>],
) -> Result<ClusterAgreement, EvaluationError> {
    let (num_samples, num_labels) = (assignments.len(), labels.len());
    if num_samples != num_labels {
        return Err(EvaluationError::LengthMismatch { num_samples, num_labels });
    }
    let labelled = assignments.iter().zip(labels).filter_map(|(&cluster, &label)| Some((cluster, label?)));
    let (clusters, labels): (Vec<u32>, Vec<u32>) = labelled.unzip();
    if labels.is_empty() {
        return Err(EvaluationError::NoLabels { num_samples });
    }
    let table = Contingency::new(&clusters, &labels)?;
    Ok(ClusterAgreement {
        nmi_arithmetic: table.nmi(NmiNorm::Arithmetic),
        nmi_geometric: table.nmi(NmiNorm::Geometric),
        adjusted_rand_index: table.adjusted_rand_index(),
        purity: table.purity(),
        num_labelled: labels.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_without_a_label_do_not_count() {
        let labels = [Some(4), Some(4), Some(9), Some(9), None, None];
        let agreement = cluster_agreement(&[0, 0, 1, 1, 0, 1], &labels).unwrap();
        assert_eq!(agreement.num_labelled, 4);
        for measure in [agreement.nmi_arithmetic, agreement.nmi_geometric, agreement.adjusted_rand_index] {
            assert!((measure - 1.0).abs() < 1e-12);
        }
        assert_eq!(agreement.purity, 1.0);
    }

    #[test]
    fn one_mixed_cluster_lowers_every_measure() {
        // Cluster 0: labels 0, 0; cluster 1: labels 0, 1. Purity (2 + 1) / 4.
        let agreement = cluster_agreement(&[0, 0, 1, 1], &[Some(0), Some(0), Some(0), Some(1)]).unwrap();
        assert_eq!(agreement.purity, 0.75);
        // H(clusters) = ln 2, H(labels) = 2 ln 2 - 3/4 ln 3, mutual information = H(labels) - ln(2) / 2.
        let (clusters, labels) = (2_f64.ln(), 2.0 * 2_f64.ln() - 0.75 * 3_f64.ln());
        let information = labels - 0.5 * 2_f64.ln();
        assert!((agreement.nmi_arithmetic - 2.0 * information / (clusters + labels)).abs() < 1e-12);
        assert!((agreement.nmi_geometric - information / (clusters * labels).sqrt()).abs() < 1e-12);
        // Pairs together in both: 1; in clusters: 2; in labels: 3; of 6: (1 - 1) / ((2 + 3) / 2 - 1) = 0.
        assert!(agreement.adjusted_rand_index.abs() < 1e-12);
    }

    #[test]
    fn unusable_lists_are_refused() {
        let error = cluster_agreement(&[0, 1], &[Some(0)]).unwrap_err();
        assert!(matches!(error, EvaluationError::LengthMismatch { num_samples: 2, num_labels: 1 }));
        let error = cluster_agreement(&[0, 1], &[None, None]).unwrap_err();
        assert!(matches!(error, EvaluationError::NoLabels { num_samples: 2 }));
    }
}
