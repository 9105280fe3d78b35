//! Classification of PASCAL VOC: which classes an image shows (Caron et al., section 4.4, table 2).

mod average_precision;
mod fine_tuned;
mod svm;
mod svm_protocol;

pub use average_precision::{ClassAveragePrecision, MeanAveragePrecision};
pub use fine_tuned::{VocClassificationConfig, VocClassificationResult, classify_voc};
pub use svm_protocol::{LayerSvm, SvmConfig, svm_on_layers};
