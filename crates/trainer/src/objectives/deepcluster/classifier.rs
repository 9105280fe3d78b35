//! The network with its head, and the loss they descend together.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor};
use deepcluster_engine::{EngineError, Learner, Losses, ParamGroup, Ranks, Sgd, take_weights};
use deepcluster_models::{Backbone, Head, Pass};

/// A network and the head that predicts the clusters of an epoch.
#[derive(Module, Debug)]
pub struct Classifier<B: Backbone> {
    /// Makes the features.
    pub network: B,
    /// Absent until the first clustering.
    pub head: Option<Head>,
}

impl<B: Backbone> Classifier<B> {
    /// A learner of `network`, by `network_sgd`, and of heads, by `head_sgd`.
    pub fn learner(network: B, head: Option<Head>, network_sgd: Sgd, head_sgd: Sgd) -> Learner<Self> {
        let groups = vec![ParamGroup::new("network", network_sgd), ParamGroup::new("head", head_sgd)];
        Learner::new(Self { network, head }, groups)
    }

    /// The mean cross-entropy of the predicted clusters, in nats; `None` without a head.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, size, size]`, normalised RGB, on the device of the model with autodiff
    /// - `targets`: `[batch]`, clusters from 0
    pub fn losses(&self, images: Tensor<4>, targets: Tensor<1, Int>, pass: &Pass) -> Option<Losses> {
        let head = self.head.as_ref()?;
        Some(Losses::joint(classification_loss(&self.network, head, images, targets, pass)))
    }
}

/// The mean cross-entropy of the predictions, `[1]`, in nats.
fn classification_loss<B: Backbone>(
    network: &B,
    head: &Head,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    pass: &Pass,
) -> Tensor<1> {
    let features = network.features(images, pass);
    let logits = head.forward(network.head_input(features)); // [batch, num_clusters]
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets)
}

/// Predicts the pseudo-labels of a batch and moves network and head, each by its own SGD, down the gradient
/// of the mean cross-entropy; returns the loss in nats. Where the loss is not finite nothing moves.
///
/// # Shapes
/// - `images`: `[batch, 3, size, size]`, normalised RGB, on a device with autodiff as the network and the
///   head
/// - `targets`: `[batch]`, clusters from 0
///
/// # Errors
/// [`EngineError::Device`] when the device fails.
pub fn training_step<B: Backbone>(
    network: &mut B,
    head: &mut Head,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    pass: &Pass,
    network_sgd: &mut Sgd,
    head_sgd: &mut Sgd,
) -> Result<f64, EngineError> {
    let loss = classification_loss(network, head, images, targets, pass);
    let take = |sgd: &mut Sgd| {
        let empty = sgd.without_velocities();
        std::mem::replace(sgd, empty)
    };
    let (whole_network, whole_head) = (take_weights(network), take_weights(head));
    let mut learner = Classifier::learner(whole_network, Some(whole_head), take(network_sgd), take(head_sgd));
    let outcome = learner.step(Losses::joint(loss), &Ranks::single()).and_then(|loss| loss.read());
    let (Classifier { network: moved, head: moved_head }, groups) = learner.into_parts();
    *network = moved;
    if let Some(moved_head) = moved_head {
        *head = moved_head;
    }
    for (sgd, group) in [network_sgd, head_sgd].into_iter().zip(groups) {
        *sgd = group.optimizer;
    }
    outcome
}
