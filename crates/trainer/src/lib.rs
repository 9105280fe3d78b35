//! Runs: objectives, the loop over their epochs, and everything that stays on disk.
//!
//! [`TrainConfig`] holds the settings, [`Trainer`] runs the loop for an objective, [`RunDirectory`] is what
//! it leaves on disk, and [`TrainedModel`] assigns new images to clusters. The first objective is
//! [`DeepCluster`] (Caron, Bojanowski, Joulin and Douze, *Deep Clustering for Unsupervised Learning of Visual
//! Features*, ECCV 2018): a network and a clustering of its features teach each other.
//!
//! ```text
//! images [b,3,s,s] -> network -> features [n,d] -> PCA-whitening [n,256] -> clusters -> pseudo-labels [n]
//!                        ^                                                                   |
//!                        +------------------------- training <- new head <-------------------+
//! ```
//!
//! [`Nat`] is the second; [`begin_run`] and [`resume_run`] take the one that the settings name, and
//! [`RunObjective`] is the trait of further ones.

mod error;
mod images;
mod measure;
mod metrics;
mod objectives;
mod observer;
mod run;
mod settings;
mod trained;
mod trainer;

pub use deepcluster_engine::features::ExtractedFeatures;
pub use deepcluster_engine::{
    DeviceInfo, EngineError, EpochOf, Event, ImagePass, ImageReading, Observer, Phase, Sgd,
    available_devices, device_kinds, host_values, images_tensor, parse_device, parse_devices,
};
pub use error::TrainerError;
pub use metrics::{EpochMetrics, EpochTimings};
pub use objectives::RunObjective;
pub use objectives::config::{ObjectiveConfig, ObjectiveKind};
pub use objectives::deepcluster::{Classifier, DeepCluster, DeepClusterConfig, Sampling, training_step};
pub use objectives::nat::{Nat, NatConfig, NatModel};
pub use observer::TrainObserver;
pub use run::any::{TrainingRun, begin_run, resume_run, resume_run_images};
pub use run::directory::{Origin, RunDirectory};
pub use run::tables::{write_assignments, write_assignments_to};
pub use settings::clustering::{ClusteringChoice, ClusteringSettings};
pub use settings::config::{ImagesConfig, NetworkConfig, TrainConfig, TrainingConfig};
pub use settings::list::{SettingHelp, all_settings};
pub use settings::overrides::Overrides;
pub use trained::feature_files::WrittenFeatures;
pub use trained::model::{AssignedImages, TrainedModel};
pub use trained::network::TrainedNetwork;
pub use trainer::Trainer;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
