//! Numbers about learned features and clusters, for data that has labels. Labels never take part in training.
//!
//! - [`cluster_agreement`]: how well clusters and labels agree (NMI, ARI, purity);
//! - [`knn_accuracy`]: how often the nearest neighbours of an image in feature space share its label.

mod cluster_agreement;
mod error;
mod knn;

pub use cluster_agreement::{ClusterAgreement, cluster_agreement};
pub use error::EvaluationError;
pub use knn::knn_accuracy;
