//! Networks that make features of images, their weights, and the files other programs keep weights in.
//!
//! A network is a [`Backbone`]: it maps images `[batch, 3, size, size]` to features `[batch, feature_dim]`,
//! the output of its last layer below the [`Head`]. [`Network`] is one enum over all that come with this
//! crate: AlexNet and VGG-16 with batch normalisation behind a fixed Sobel stage (Caron et al., ECCV 2018,
//! sections 3.1 and 4.1) are [`ConvNet`]s.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use deepcluster_models::{Architecture, Backbone, ConvNetConfig, Network, Pass};
//!
//! let device = Device::flex();
//! let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25)?;
//! let network: Network = config.init(1, &device)?.into();
//! let images = Tensor::zeros([2, 3, 32, 32], &device);
//! assert_eq!(network.features(images, &Pass::inference()).dims(), [2, network.feature_dim()]);
//! # Ok::<(), deepcluster_models::ModelError>(())
//! ```
//!
//! This crate trains nothing. It names no backend: the [`burn::tensor::Device`] given to
//! [`ConvNetConfig::init`] decides where a network lives, and whether it tracks gradients.

mod activation;
mod backbone;
mod batch_norm;
mod convnet;
mod error;
mod head;
mod initialization;
mod input;
mod layer;
mod network;
#[cfg(feature = "onnx")]
mod onnx;
mod pass;
mod precision;

pub mod weights;

pub use activation::Activation;
pub use backbone::{Backbone, DenseBackbone, NetworkInfo};
pub use batch_norm::BatchNorm2d;
pub use convnet::architecture::{Architecture, ConvBlockConfig, ConvNetConfig, MAX_WEIGHTS, Pooling};
pub use convnet::filters::ReceptiveField;
pub use convnet::parts::MapGeometry;
pub use convnet::{ConvBlock, ConvNet};
pub use deepcluster_kernels::{SOBEL_KERNELS, sobel};
pub use error::ModelError;
pub use head::Head;
pub use input::Input;
pub use layer::{LayerId, LayerInfo, LayerKind};
pub use network::Network;
pub use pass::{Dropout, Pass};
pub use precision::Precision;
pub use weights::named::{NamedWeights, WeightMap, export_weights, import_weights, map_weights, on_the_host};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
