//! The numbers of an epoch, as written to `metrics.jsonl` and `timings.jsonl`.

use std::collections::BTreeMap;

use deepcluster_clustering::Assignments;
use deepcluster_data::Images;
use deepcluster_engine::EpochClusters;
use deepcluster_evaluation::{ClusterAgreement, NmiNorm, cluster_agreement, nmi};
use serde::{Deserialize, Serialize};

use crate::error::TrainerError;

/// The measures of an epoch: a line of `metrics.jsonl`. It holds nothing that depends on the machine's speed,
/// so that two runs from one seed write the same file.
///
/// An epoch whose objective makes no clusters has no inertia, and 0 clusters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epoch, from 0. The clustering after the last training has the number of epochs, and no loss.
    pub epoch: usize,
    /// Mean loss over the steps of the epoch: for DeepCluster the cross-entropy of the pseudo-labels, in
    /// nats.
    pub loss: Option<f64>,
    /// NMI (arithmetic) between this clustering and the previous one.
    pub nmi_to_previous: Option<f64>,
    /// Agreement of this clustering with the labels, where there are labels.
    pub labels: Option<ClusterAgreement>,
    /// Leave-one-out nearest-neighbour accuracy of the last convolution's maps, measured for the first and
    /// the last network where there are labels.
    pub knn_accuracy: Option<f64>,
    /// Sum of squared distances of the whitened features to their centroids.
    pub inertia: Option<f64>,
    /// Number of clusters including empty ones.
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
    /// Further measures of the objective, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
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

/// The measures that are known when an epoch begins, of its clusters where it has any.
pub(crate) fn epoch_metrics(
    epoch: usize,
    clusters: Option<&EpochClusters>,
    images: &Images,
) -> Result<EpochMetrics, TrainerError> {
    let mut metrics = EpochMetrics { epoch, num_images: images.len(), ..EpochMetrics::default() };
    let Some(EpochClusters { clustering, previous, num_components, .. }) = clusters else {
        return Ok(metrics);
    };
    let assignments = &clustering.assignments;
    let clusters = assignments.labels();
    let agreement = |previous: &Assignments| nmi(previous.labels(), clusters, NmiNorm::Arithmetic);
    metrics.nmi_to_previous = previous.as_ref().map(agreement).transpose()?;
    let labels = images.labels().map(|labels| cluster_agreement(clusters, &labels.of_image));
    metrics.labels = labels.transpose()?;
    metrics.inertia = Some(clustering.inertia);
    metrics.num_clusters = assignments.num_clusters();
    metrics.num_empty = assignments.num_empty();
    metrics.cluster_sizes = assignments.cluster_sizes();
    metrics.num_components = *num_components;
    Ok(metrics)
}
