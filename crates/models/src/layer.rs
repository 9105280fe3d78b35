//! Layers of a network by name.

use std::fmt;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::backbone::Backbone;
use crate::pass::Pass;

/// A layer whose activations a [`Backbone`] can return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Unique within the network, such as `conv1`.
    pub name: String,
    /// Form of its activations.
    pub kind: LayerKind,
    /// Filters of a convolution, width of tokens, or values of a vector.
    pub channels: usize,
}

impl LayerInfo {
    /// A layer of this name.
    pub fn new(name: impl Into<String>, kind: LayerKind, channels: usize) -> Self {
        Self { name: name.into(), kind, channels }
    }
}

/// Form of a layer's activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LayerKind {
    /// Maps of a convolution after its ReLU, before any pooling, `[batch, channels, rows, columns]`.
    Convolution,
    /// Maps after pooling, `[batch, channels, rows, columns]`.
    Pooling,
    /// Tokens of a transformer block, `[batch, tokens, channels]`.
    Tokens,
    /// One vector for each image, `[batch, channels]`.
    Vector,
}

/// A layer of a backbone.
///
/// ```
/// use burn::tensor::Device;
/// use deepcluster_models::{Architecture, ConvNetConfig, LayerId};
///
/// let network = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25)?.init(1, &Device::flex())?;
/// assert_eq!(LayerId::find(&network, "conv1"), Some(LayerId::Named("conv1".to_string())));
/// assert_eq!(LayerId::find(&network, "fc7"), Some(LayerId::Features));
/// assert_eq!(LayerId::find(&network, "features"), Some(LayerId::Features));
/// assert_eq!(LayerId::find(&network, "fc8"), None);
/// # Ok::<(), deepcluster_models::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LayerId {
    /// A layer of [`Backbone::layers`] by its name.
    Named(String),
    /// The features: the last of [`Backbone::layers`].
    Features,
}

impl LayerId {
    /// A name for the features that every network understands, beside its own.
    pub const FEATURES: &'static str = "features";

    /// The layers that are compared by default: all but pooled maps, which repeat the layer before.
    pub fn all<B: Backbone>(backbone: &B) -> Vec<Self> {
        let layers = backbone.layers();
        let shown = layers.iter().filter(|layer| layer.kind != LayerKind::Pooling);
        shown.filter_map(|layer| Self::find(backbone, &layer.name)).collect()
    }

    /// The layer of this name; `None` where a backbone has none.
    pub fn find<B: Backbone>(backbone: &B, name: &str) -> Option<Self> {
        let layers = backbone.layers();
        if name == Self::FEATURES || layers.last().is_some_and(|last| last.name == name) {
            return Some(Self::Features);
        }
        layers.iter().any(|layer| layer.name == name).then(|| Self::Named(name.to_string()))
    }

    /// The last maps after their pooling; the features of a network without such maps. Nearest neighbours
    /// are measured on it in training.
    pub fn last_maps<B: Backbone>(backbone: &B) -> Self {
        let mut layers = backbone.layers().into_iter().rev();
        let pooled = layers.find(|layer| layer.kind == LayerKind::Pooling);
        pooled.map_or(Self::Features, |layer| Self::Named(layer.name))
    }

    /// The name of the layer in this backbone.
    pub fn name<B: Backbone>(&self, backbone: &B) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Features => {
                backbone.layers().pop().map_or_else(|| Self::FEATURES.to_string(), |layer| layer.name)
            }
        }
    }

    /// The activations of the layer for images `[batch, 3, side, side]`.
    ///
    /// # Panics
    /// For a layer that the backbone does not have.
    pub fn activation<B: Backbone>(&self, backbone: &B, images: Tensor<4>) -> Activation {
        match self {
            Self::Features => Activation::Vector(backbone.features(images, &Pass::inference())),
            Self::Named(name) => backbone.activations(images, &[name]).remove(0),
        }
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => formatter.write_str(name),
            Self::Features => formatter.write_str(Self::FEATURES),
        }
    }
}
