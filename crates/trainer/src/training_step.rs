//! One step of training.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use deepcluster_models::{Backbone, DropoutMasks, Head};

use crate::error::TrainerError;
use crate::sgd::Sgd;

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
    let features = network.forward_features(images, dropout);
    let logits = head.forward(network.head_input(features)); // [batch, num_clusters]
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets);
    let value: f32 =
        loss.clone().try_into_scalar().map_err(|error| TrainerError::device("in a training step", error))?;
    if value.is_finite() {
        let mut gradients = loss.backward();
        let of_network = GradientsParams::from_module(&mut gradients, network);
        let of_head = GradientsParams::from_module(&mut gradients, head);
        network_sgd.step_in_place(network, of_network);
        head_sgd.step_in_place(head, of_head);
    }
    Ok(f64::from(value))
}
