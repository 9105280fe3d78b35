//! Measures of the features of a trained network on other tasks, by the protocols of the paper (Caron et al.,
//! ECCV 2018, section 4).
//!
//! - [`LinearProbe`]: linear classifiers on every frozen convolution (section 4.3, table 1);
//!   [`train_with_labels`]: the same network trained with labels, for comparison;
//! - [`classify_voc`], [`detect_voc`], [`segment_voc`]: PASCAL VOC (section 4.4, tables 2 to 4);
//!   [`svm_on_layers`];
//! - [`retrieve_landmarks`]: Oxford5k and Paris6k (section 4.5, table 5); [`recall_at`] for any labelled
//!   folder;
//! - [`proposals`]: the boxes that detection classifies;
//! - [`knn_on_layers`]: nearest-neighbour classification on any layer;
//! - [`cluster_report`]: the clusters of a run against labels, class by class;
//! - [`sweep_clusters`]: scores by the number of clusters (figure 2c).
//!
//! Every protocol reports its progress and returns plain data that can be written as JSON; those that learn
//! can be resumed after a stop.

mod cluster_report;
mod detection;
mod error;
mod fine_tuning;
mod labelled_folder;
mod layer_features;
mod layer_knn;
mod linear_probe;
mod pooled_taps;
pub mod proposals;
mod retrieval;
mod segmentation;
mod state_file;
mod supervised;
mod sweep;
mod task_identity;
mod task_seeds;
mod voc_classification;
mod voc_dataset;

pub use cluster_report::{ClassInClusters, ClusterReport, cluster_report};
pub use detection::{
    DetectionConfig, DetectionResult, ProposalQuality, detect_voc, find_proposals, non_maximum_suppression,
};
pub use error::TransferError;
pub use fine_tuning::{FineTunedLayers, LossPoint, TaskSgd};
pub use labelled_folder::{LabelledFolder, LabelledPair};
pub use layer_knn::{LayerKnn, knn_on_layers};
pub use linear_probe::{LayerCurve, LinearProbe, LinearProbeConfig, ProbeEpoch};
pub use pooled_taps::{MAX_POOLED_VALUES, pool_map};
pub use retrieval::{
    LandmarkGroundTruth, LandmarkQuery, LandmarkResult, RecallResult, RetrievalConfig, recall_at,
    remove_retrieval_states, retrieve_landmarks, rmac_regions,
};
pub use segmentation::{SegmentationConfig, SegmentationDataset, SegmentationResult, segment_voc};
pub use supervised::train_with_labels;
pub use sweep::{Sweep, SweepPoint, SweepTask, sweep_clusters};
pub use voc_classification::{
    ClassAveragePrecision, LayerSvm, MeanAveragePrecision, SvmConfig, VocClassificationConfig,
    VocClassificationResult, classify_voc, svm_on_layers,
};
pub use voc_dataset::{VocBox, VocDataset, VocImages};

/// Counts the memory of readers in tests.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: deepcluster_damage::CountingAllocator = deepcluster_damage::CountingAllocator;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
