//! How good the features of a trained network are for other tasks, by the protocols of the paper (Caron et al., ECCV
//! 2018, section 4).
//!
//! - [`LinearProbe`]: linear classifiers on every frozen convolution (section 4.3, table 1);
//! - [`knn_of_layers`]: nearest-neighbour classification on any layer;
//! - [`cluster_report`]: the clusters of a run against labels, class by class.
//!
//! Every protocol takes folders with labels, tells of its progress, and gives plain data that is written as JSON and as a
//! table.

mod cluster_report;
mod detection;
mod error;
mod fine_tuning;
mod knn_of_layers;
mod labelled_folder;
mod layer_features;
mod linear_probe;
mod pooled_taps;
mod retrieval;
mod segmentation;
mod state_file;
mod voc_classification;
mod voc_dataset;

pub use cluster_report::{ClassInClusters, ClusterReport, cluster_report};
pub use detection::{
    DetectionConfig, DetectionResult, ProposalQuality, detect_voc, find_proposals, non_maximum_suppression,
    overlap_matrix,
};
pub use error::TransferError;
pub use fine_tuning::{FineTunedLayers, LossPoint, TaskSgd};
pub use knn_of_layers::{LayerKnn, knn_of_layers};
pub use labelled_folder::{LabelledFolder, LabelledPair};
pub use linear_probe::{LayerCurve, LinearProbe, LinearProbeConfig, ProbeEpoch};
pub use pooled_taps::{MAX_POOLED_VALUES, pool_map};
pub use retrieval::{
    LandmarkGroundTruth, LandmarkQuery, LandmarkResult, RecallResult, RetrievalConfig, recall_at,
    retrieve_landmarks, rmac_regions,
};
pub use segmentation::{SegmentationConfig, SegmentationDataset, SegmentationResult, segment_voc};
pub use voc_classification::{
    ClassAveragePrecision, LayerSvm, MeanAveragePrecision, SvmConfig, VocClassificationConfig,
    VocClassificationResult, classify_voc, svm_on_layers,
};
pub use voc_dataset::{VocBox, VocDataset, VocImages};
