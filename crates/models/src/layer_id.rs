//! Names of layers whose activations can be read.

use burn::tensor::Tensor;

use crate::backbone::Backbone;
use crate::dropout::DropoutMasks;

/// A layer of a backbone.
///
/// ```
/// use burn::tensor::Device;
/// use deepcluster_models::{Architecture, ConvNetConfig, LayerId};
///
/// let network = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25)?.init(1, &Device::flex())?;
/// let layers = LayerId::all(&network);
/// assert_eq!(layers.first().map(|layer| layer.name(&network)), Some("conv1".to_string()));
/// assert_eq!(LayerId::find(&network, "fc7"), Some(LayerId::Features));
/// assert_eq!(LayerId::find(&network, "fc8"), None);
/// # Ok::<(), deepcluster_models::ModelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerId {
    /// The map of the tap of this number, from 0; see [`Backbone::tap_names`].
    Tap(usize),
    /// The maps after the last convolution and its pooling.
    Convolutions,
    /// The features, the last layer below the head before its ReLU.
    Features,
}

impl LayerId {
    /// Name of the features, whatever the network.
    pub const FEATURES: &'static str = "fc7";

    /// The taps of a backbone in the order in which an image passes them, and its features.
    pub fn all<B: Backbone>(backbone: &B) -> Vec<Self> {
        (0..backbone.tap_names().len()).map(Self::Tap).chain([Self::Features]).collect()
    }

    /// The layer of this name; `None` where a backbone has none.
    pub fn find<B: Backbone>(backbone: &B, name: &str) -> Option<Self> {
        if name == Self::FEATURES {
            return Some(Self::Features);
        }
        backbone.tap_names().iter().position(|tap| tap == name).map(Self::Tap)
    }

    /// The name of the layer in this backbone; empty for a tap that it does not have.
    pub fn name<B: Backbone>(self, backbone: &B) -> String {
        match self {
            Self::Tap(tap) => backbone.tap_names().into_iter().nth(tap).unwrap_or_default(),
            Self::Convolutions => "convolutions".to_string(),
            Self::Features => Self::FEATURES.to_string(),
        }
    }
}

impl LayerId {
    /// The values of the layer, `[batch, channels, rows, columns]`; those of the features have one row and
    /// column.
    ///
    /// # Panics
    /// For a tap that the backbone does not have.
    pub fn values<B: Backbone>(self, backbone: &B, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Tap(tap) => backbone.forward_taps(images).swap_remove(tap),
            Self::Convolutions => backbone.forward_convolutions(images),
            Self::Features => {
                let features = backbone.forward_features(images, &DropoutMasks::off());
                let [batch, dim] = features.dims();
                features.reshape([batch, dim, 1, 1])
            }
        }
    }
}
