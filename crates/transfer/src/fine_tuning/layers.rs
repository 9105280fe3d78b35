//! The network of a task: which of its layers learn.

use burn::module::Module;
use burn::tensor::Tensor;
use deepcluster_models::{Backbone, DenseBackbone, Head, Pass};
use serde::{Deserialize, Serialize};

use crate::task_seeds::TaskSeeds;

/// Layers that learn a task (Caron et al., section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FineTunedLayers {
    /// The fully connected ones, drawn anew; the convolutions stay as they are.
    #[serde(rename = "fc6-8")]
    FullyConnected,
    /// All.
    #[serde(rename = "all")]
    All,
}

impl FineTunedLayers {
    /// The name papers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullyConnected => "fc6-8",
            Self::All => "all",
        }
    }
}

/// A network that learns a task, and the part of it that does not.
pub(crate) struct Trunk<N> {
    /// On a device with autodiff.
    pub(crate) network: N,
    /// Without autodiff, where the convolutions do not learn.
    pub(crate) frozen: Option<N>,
}

impl<N: DenseBackbone> Trunk<N> {
    /// `network` lies on a device without autodiff. With `train_norms` the scales and shifts of batch norm
    /// learn even where the convolutions do not.
    pub(crate) fn new(network: &N, layers: FineTunedLayers, train_norms: bool, seeds: TaskSeeds) -> Self {
        let learns = |name: &str| match layers {
            FineTunedLayers::All => train_norms || !name.contains(".norm."),
            FineTunedLayers::FullyConnected => {
                network.is_after_maps(name) || (train_norms && name.contains(".norm."))
            }
        };
        let learns = |name: &str| learns(name) && !name.contains("running_");
        let frozen = (layers == FineTunedLayers::FullyConnected && !train_norms).then(|| network.clone());
        let tuned = match layers {
            FineTunedLayers::All => network.clone(),
            FineTunedLayers::FullyConnected => {
                let device = network.devices().first().cloned().unwrap_or_default();
                network.clone().with_new_layers_after_maps(seeds.layers(), 0.1, &device)
            }
        };
        Self { network: tuned.for_fine_tuning(learns), frozen }
    }
}

/// A network with a head of its own.
#[derive(Module, Debug)]
pub(crate) struct Classifier<N: Backbone> {
    pub(crate) network: N,
    pub(crate) head: Head,
}

impl<N: Backbone> Classifier<N> {
    /// Scores of the classes, `[batch, classes]`, from images.
    pub(crate) fn forward_images(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let features = self.network.features(images, pass);
        self.head.forward(self.network.head_input(features))
    }
}

impl<N: DenseBackbone> Classifier<N> {
    /// Scores of the classes, `[batch, classes]`, from pooled maps.
    pub(crate) fn forward(&self, pooled: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let features = self.network.features_of_pooled(pooled, pass);
        self.head.forward(self.network.head_input(features))
    }
}

/// Maps of images on a device without autodiff, of the frozen convolutions where there are any, otherwise of
/// those that learn. The result tracks gradients.
pub(crate) fn trunk_maps<N: DenseBackbone>(
    learning: &N,
    frozen: Option<&N>,
    images: Tensor<4>,
    forward: impl Fn(&N, Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    match frozen {
        Some(frozen) => Tensor::from_inner(forward(frozen, images)),
        None => forward(learning, Tensor::from_inner(images)),
    }
}
