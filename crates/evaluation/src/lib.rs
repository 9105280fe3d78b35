//! Numbers about learned features and clusters, for data that has labels. Labels never take part in training.
//!
//! - [`nmi`], [`adjusted_rand_index`], [`purity`], [`clustering_accuracy`]: agreement of two labellings;
//! - [`cluster_agreement`]: the same of clusters with labels, over the samples that have one;
//! - [`knn_accuracy`]: how often the nearest neighbours of an image in feature space share its label;
//! - [`weighted_knn`]: how often the nearest training images of a test image vote for its label;
//! - [`top_k_accuracy`]: how often the true class is among the best scored;
//! - [`PrecisionRecall`]: average precision of a ranking, by the rules of scikit-learn and of PASCAL VOC;
//! - [`detection_curve`]: boxes matched to objects by the rules of PASCAL VOC;
//! - [`PixelConfusion`]: mean intersection over union of a segmentation;
//! - [`retrieval_average_precision`]: retrieval by the rules of Oxford5k and Paris6k.

mod agreement;
mod average_precision;
mod detection;
mod error;
mod knn;
mod retrieval;
mod segmentation;
mod top_k;
mod weighted_knn;

pub use agreement::{
    ClusterAgreement, NmiNorm, adjusted_rand_index, cluster_agreement, clustering_accuracy, nmi, purity,
};
pub use average_precision::{PrecisionRecall, classification_curve};
pub use detection::{BoundingBox, Detection, GroundTruth, detection_curve};
pub use error::EvaluationError;
pub use knn::{knn_accuracy, normalized_rows};
pub use retrieval::{Relevance, found_within, retrieval_average_precision};
pub use segmentation::PixelConfusion;
pub use top_k::top_k_accuracy;
pub use weighted_knn::{KnnAccuracy, WeightedKnnConfig, weighted_knn};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
