//! The DeepCluster loop (Caron, Bojanowski, Joulin and Douze, *Deep Clustering for Unsupervised Learning of Visual
//! Features*, ECCV 2018): a network and a clustering of its features teach each other.
//!
//! ```text
//! images [b,3,s,s] -> network -> features [n,d] -> PCA-whitening [n,256] -> clusters -> pseudo-labels [n]
//!                        ^                                                                   |
//!                        +------------------------- training <- new head <-------------------+
//! ```
//!
//! [`TrainConfig`] holds the settings, [`Trainer`] runs the loop, [`RunDirectory`] is what it leaves on disk, and
//! [`TrainedModel`] gives new images their clusters.

mod checkpoint;
mod config;
mod config_file;
mod config_ranges;
mod data_parallel;
mod device;
mod digest;
mod epoch_features;
mod error;
mod feature_files;
mod features;
mod files;
mod gradient_exchange;
mod health;
mod image_pass;
mod import;
mod metrics;
mod observer;
mod out_of_memory;
mod pseudo_labels;
mod results;
mod resume;
mod run_directory;
mod run_tables;
mod seeds;
mod sgd;
mod tensor_file;
mod tensorboard;
mod tensors;
mod train_epoch;
mod trained_model;
mod trained_network;
mod trainer;
mod training_step;
mod unbegun_run;

pub use config::{
    ClusteringChoice, ClusteringSettings, DataConfig, ModelConfig, Sampling, TrainConfig, TrainingConfig,
};
pub use device::{DeviceInfo, available_devices, device_kinds, parse_device, parse_devices};
pub use error::TrainerError;
pub use feature_files::{FeatureLayer, WrittenFeatures};
pub use features::ExtractedFeatures;
pub use gradient_exchange::{GradientExchange, HostExchange};
pub use image_pass::ImagePass;
pub use metrics::{EpochMetrics, EpochTimings};
pub use observer::{Phase, TrainEvent, TrainObserver};
pub use run_directory::{Origin, RunDirectory};
pub use run_tables::{write_assignments, write_assignments_to};
pub use sgd::Sgd;
pub use tensors::{host_values, images_tensor};
pub use trained_model::{AssignedImages, TrainedModel};
pub use trained_network::TrainedNetwork;
pub use trainer::Trainer;
pub use training_step::{queue_training_step, training_step};
