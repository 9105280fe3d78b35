//! One step of training.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use deepcluster_models::{Backbone, DropoutMasks, Head};

use crate::error::TrainerError;
use crate::sgd::Sgd;

/// [`training_step`] that does not wait for the device: gives the loss, `[1]`, as a tensor to be read later, and moves the
/// weights whether or not it is finite.
pub fn queue_training_step<B: Backbone>(
    network: &mut B,
    head: &mut Head,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    dropout: &DropoutMasks,
    network_sgd: &mut Sgd,
    head_sgd: &mut Sgd,
) -> Tensor<1> {
    let loss = loss_of(network, head, images, targets, dropout);
    descend(&loss, network, head, network_sgd, head_sgd);
    loss.without_autodiff()
}

/// Predicts the pseudo-labels of a batch and moves network and head, each by its own SGD, down the gradient of the mean
/// cross-entropy; gives the loss in nats. Where the loss is not finite nothing moves.
///
/// # Shapes
/// - `images`: `[batch, 3, size, size]`, normalised RGB, on a device with autodiff as the network and the head
/// - `targets`: `[batch]`, clusters from 0
///
/// # Errors
/// [`TrainerError::Device`] when the device fails.
pub fn training_step<B: Backbone>(
    network: &mut B,
    head: &mut Head,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    dropout: &DropoutMasks,
    network_sgd: &mut Sgd,
    head_sgd: &mut Sgd,
) -> Result<f64, TrainerError> {
    let loss = loss_of(network, head, images, targets, dropout);
    let value: f32 =
        loss.clone().try_into_scalar().map_err(|error| TrainerError::device("in a training step", error))?;
    if value.is_finite() {
        descend(&loss, network, head, network_sgd, head_sgd);
    }
    Ok(f64::from(value))
}

/// The mean cross-entropy of the predictions, `[1]`.
pub(crate) fn loss_of<B: Backbone>(
    network: &B,
    head: &Head,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    dropout: &DropoutMasks,
) -> Tensor<1> {
    let features = network.forward_features(images, dropout);
    let logits = head.forward(network.head_input(features)); // [batch, num_clusters]
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets)
}

fn descend<B: Backbone>(
    loss: &Tensor<1>,
    network: &mut B,
    head: &mut Head,
    network_sgd: &mut Sgd,
    head_sgd: &mut Sgd,
) {
    let mut gradients = loss.backward();
    let of_network = GradientsParams::from_module(&mut gradients, network);
    let of_head = GradientsParams::from_module(&mut gradients, head);
    network_sgd.step_in_place(network, of_network);
    head_sgd.step_in_place(head, of_head);
}
