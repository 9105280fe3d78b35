//! One type for all networks of this crate.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::backbone::Backbone;
use crate::convnet::ConvNet;
use crate::input::Input;
use crate::layer::LayerInfo;
use crate::pass::Pass;

/// Any network that comes with this crate.
///
/// Weights have the names they have in the network itself: another family is another arm, and files stay as
/// they are.
///
/// ```
/// use burn::tensor::Device;
/// use deepcluster_models::{Architecture, Backbone, ConvNetConfig, Network};
///
/// let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25)?;
/// let network = Network::from(config.init(1, &Device::flex())?);
/// assert_eq!(network.name(), "alexnet-small");
/// assert_eq!(network.as_convnet().map(|network| network.num_convolutions()), Some(5));
/// # Ok::<(), deepcluster_models::ModelError>(())
/// ```
#[derive(Module, Debug)]
pub enum Network {
    /// AlexNet or VGG-16.
    ConvNet(ConvNet),
}

impl Network {
    /// The network as a chain of convolutions with the capabilities of a
    /// [`DenseBackbone`](crate::DenseBackbone) and pictures of its filters; `None` where it is none.
    pub fn as_convnet(&self) -> Option<&ConvNet> {
        match self {
            Self::ConvNet(network) => Some(network),
        }
    }
}

impl From<ConvNet> for Network {
    fn from(network: ConvNet) -> Self {
        Self::ConvNet(network)
    }
}

impl Backbone for Network {
    fn name(&self) -> String {
        match self {
            Self::ConvNet(network) => network.name(),
        }
    }

    fn input(&self) -> &Input {
        match self {
            Self::ConvNet(network) => network.input(),
        }
    }

    fn feature_dim(&self) -> usize {
        match self {
            Self::ConvNet(network) => network.feature_dim(),
        }
    }

    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::ConvNet(network) => network.features(images, pass),
        }
    }

    fn head_input(&self, features: Tensor<2>) -> Tensor<2> {
        match self {
            Self::ConvNet(network) => network.head_input(features),
        }
    }

    fn layers(&self) -> Vec<LayerInfo> {
        match self {
            Self::ConvNet(network) => network.layers(),
        }
    }

    fn activations(&self, images: Tensor<4>, layers: &[&str]) -> Vec<Activation> {
        match self {
            Self::ConvNet(network) => network.activations(images, layers),
        }
    }
}
