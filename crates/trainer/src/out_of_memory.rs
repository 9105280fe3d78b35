//! What would have fitted where a device has run out of memory.

use burn::module::Param;
use burn::tensor::{Device, Int, Tensor};
use deepcluster_models::{Backbone, DropoutMasks, Head, WeightMap, map_weights};

use crate::error::TrainerError;
use crate::sgd::Sgd;
use crate::training_step::queue_training_step;

/// Whether an error says that memory was lacking.
pub(crate) fn is_out_of_memory(error: &TrainerError) -> bool {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&error.to_string());
        source = error.source();
    }
    ["out of device memory", "out-of-memory", "can't allocate buffer", "out of memory"]
        .iter()
        .any(|words| text.contains(words))
}

/// The error to report where `setting`, a number of images, was too large: `fits` tries smaller numbers. Where what was asked for
/// fits once memory has been freed, the error stays as it is: something else was too large.
pub(crate) fn explained(
    error: TrainerError,
    setting: &'static str,
    asked: usize,
    device: &Device,
    fits: impl Fn(usize) -> Result<(), TrainerError>,
) -> TrainerError {
    if !is_out_of_memory(&error) {
        return error;
    }
    let mut size = asked;
    while size >= 1 {
        device.memory_cleanup();
        if fits(size).is_ok() {
            let is_cause = size < asked;
            return if is_cause {
                TrainerError::OutOfMemory { setting, asked, fits: Some(size) }
            } else {
                error
            };
        }
        size /= 2;
    }
    TrainerError::OutOfMemory { setting, asked, fits: None }
}

/// Tries a step of training with `batch` images.
pub(crate) fn try_training<B: Backbone>(
    network: &B,
    num_clusters: usize,
    batch: usize,
    device: &Device,
) -> Result<(), TrainerError> {
    let device = device.clone().autodiff();
    let images = Tensor::<4>::zeros([batch, 3, network.input_size(), network.input_size()], &device);
    let targets = Tensor::<1, Int>::zeros([batch], &device);
    let mut head = Head::new(network.feature_dim(), num_clusters, 0, &device);
    let mut network = zeros_like(network).train();
    let mut sgd = [Sgd::new(0.1, 0.9, 0.0), Sgd::new(0.1, 0.0, 0.0)];
    let [of_network, of_head] = &mut sgd;
    let dropout = DropoutMasks::from_seed(0);
    let loss = queue_training_step(&mut network, &mut head, images, targets, &dropout, of_network, of_head);
    crate::tensors::host_values(loss, "in a training step")?;
    // What the step has changed is read too: the loss alone does not wait for the gradients.
    of_head.export().map(|_| ())?;
    of_network.export().map(|_| ())
}

/// A network of the same size: after a failure the weights of the original may be those that were never computed.
fn zeros_like<B: Backbone>(network: &B) -> B {
    struct Zeros;
    impl WeightMap for Zeros {
        fn map<const D: usize>(&mut self, _name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let zeros = Tensor::zeros(tensor.shape(), &tensor.device());
            Param::from_mapped_value(id, zeros, mapper)
        }
    }
    map_weights(network.valid(), &mut Zeros)
}

/// Tries to compute the features of `batch` images.
pub(crate) fn try_features<B: Backbone>(
    network: &B,
    batch: usize,
    device: &Device,
) -> Result<(), TrainerError> {
    let images = Tensor::<4>::zeros([batch, 3, network.input_size(), network.input_size()], device);
    let features = zeros_like(network).forward_features(images, &DropoutMasks::off());
    crate::tensors::host_values(features, "while computing features").map(|_| ())
}
