//! The convolutional networks that DeepCluster trains: AlexNet and VGG-16 with batch normalisation behind a
//! fixed Sobel stage (Caron et al., ECCV 2018, section 3.1 and 4.1).
//!
//! A network is a [`Backbone`]: it maps images `[batch, 3, size, size]` to features `[batch, feature_dim]`,
//! the output of its last fully connected layer before the final ReLU. The features are clustered; the
//! [`Head`] that predicts the cluster of an image sits on top and is replaced after every clustering.
//!
//! This crate knows no files, no clustering and no training loop. It names no backend: the
//! [`burn::tensor::Device`] given to [`ConvNetConfig::init`] decides where a network lives, and whether it
//! tracks gradients.

mod architecture;
mod backbone;
mod batch_norm;
mod convnet;
mod convnet_parts;
mod dropout;
mod error;
mod head;
mod initialization;
mod input;
mod layer_id;
mod precision;
mod single_layer;

mod weights;

pub use architecture::{Architecture, ConvBlockConfig, ConvNetConfig, MAX_WEIGHTS, Pooling};
pub use backbone::Backbone;
pub use batch_norm::BatchNorm2d;
pub use convnet::{ConvBlock, ConvNet};
pub use convnet_parts::MapGeometry;
pub use deepcluster_kernels::{SOBEL_KERNELS, sobel};
pub use dropout::{Dropout, DropoutMasks};
pub use error::ModelError;
pub use head::Head;
pub use input::Input;
pub use layer_id::LayerId;
pub use precision::Precision;
pub use single_layer::ReceptiveField;
pub use weights::{NamedWeights, WeightMap, export_weights, import_weights, map_weights, on_the_host};
