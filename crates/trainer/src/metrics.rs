//! The numbers of an epoch, as written to `metrics.jsonl` and `timings.jsonl`.

use deepcluster_clustering::{Assignments, NmiNorm, nmi};
use deepcluster_evaluation::{ClusterAgreement, cluster_agreement};
use serde::{Deserialize, Serialize};

use crate::error::TrainerError;

/// What an epoch measured: a line of `metrics.jsonl`. It holds nothing that depends on the machine's speed, so that
/// two runs from one seed write the same file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epoch, from 0. The clustering after the last training has the number of epochs, and no loss.
    pub epoch: usize,
    /// Mean cross-entropy of the pseudo-labels over the steps of the epoch, in nats.
    pub loss: Option<f64>,
    /// NMI (arithmetic) between this clustering and the one before.
    pub nmi_to_previous: Option<f64>,
    /// Agreement of this clustering with the labels, where there are labels.
    pub labels: Option<ClusterAgreement>,
    /// Leave-one-out nearest-neighbour accuracy of the last convolution's maps, measured for the first and the last
    /// network where there are labels.
    pub knn_accuracy: Option<f64>,
    /// Sum of squared distances of the whitened features to their centroids.
    pub inertia: f64,
    /// Clusters asked of the head, empty ones included.
    pub num_clusters: usize,
    /// Clusters without an image.
    pub num_empty: usize,
    /// Images of every cluster.
    pub cluster_sizes: Vec<usize>,
    /// Images clustered.
    pub num_images: usize,
    /// Images drawn for training.
    pub num_samples: usize,
    /// Dimensions of the whitened features.
    pub num_components: usize,
}

/// How long an epoch took: a line of `timings.jsonl`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochTimings {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Computing features, in seconds.
    pub features_seconds: f64,
    /// PCA and whitening, in seconds.
    pub whitening_seconds: f64,
    /// Clustering, in seconds.
    pub clustering_seconds: f64,
    /// Training, in seconds. After a resume, only the part since then.
    pub training_seconds: f64,
    /// Images per second of the feature pass.
    pub features_images_per_second: f64,
    /// Images per second of training.
    pub training_images_per_second: f64,
}

/// The part of the metrics that is known once the clusters are.
pub(crate) fn clustering_metrics(
    epoch: usize,
    assignments: &Assignments,
    previous: Option<&[u32]>,
    labels: Option<&[Option<u32>]>,
    inertia: f64,
    num_components: usize,
) -> Result<EpochMetrics, TrainerError> {
    let nmi_to_previous =
        previous.map(|previous| nmi(previous, assignments.labels(), NmiNorm::Arithmetic)).transpose()?;
    let labels = labels.map(|labels| cluster_agreement(assignments.labels(), labels)).transpose()?;
    Ok(EpochMetrics {
        epoch,
        loss: None,
        nmi_to_previous,
        labels,
        knn_accuracy: None,
        inertia,
        num_clusters: assignments.num_clusters(),
        num_empty: assignments.num_empty(),
        cluster_sizes: assignments.cluster_sizes(),
        num_images: assignments.len(),
        num_samples: 0,
        num_components,
    })
}
