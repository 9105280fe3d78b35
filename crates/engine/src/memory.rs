//! After an out-of-memory error, finds the largest batch that fits.

use burn::tensor::{Device, Tensor};
use deepcluster_models::{Backbone, Pass};

use crate::error::EngineError;
use crate::learner::{Learner, blank_weights};
use crate::objective::{Batch, Objective, Place, Step};
use crate::ranks::Ranks;
use crate::tensors::host_values;

/// Whether an error is out of memory, by the messages of the drivers.
pub(crate) fn is_out_of_memory(error: &EngineError) -> bool {
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

/// The error to report where `setting`, a number of images, was too large: `fits` tries smaller numbers.
/// If the requested size fits once memory has been freed, the error is returned unchanged: something else was
/// too large.
pub(crate) fn explained(
    error: EngineError,
    setting: &'static str,
    asked: usize,
    device: &Device,
    fits: impl Fn(usize) -> Result<(), EngineError>,
) -> EngineError {
    if !is_out_of_memory(&error) {
        return error;
    }
    let mut size = asked;
    while size >= 1 {
        device.memory_cleanup();
        if fits(size).is_ok() {
            let is_cause = size < asked;
            return if is_cause {
                EngineError::OutOfMemory { setting, asked, fits: Some(size) }
            } else {
                error
            };
        }
        size /= 2;
    }
    EngineError::OutOfMemory { setting, asked, fits: None }
}

/// Tries a step on `batch` images with weights of 0.
pub(crate) fn try_step<O: Objective>(
    objective: &O,
    learner: &Learner<O::Model>,
    batch: usize,
    place: Place,
    device: &Device,
) -> Result<(), EngineError> {
    let mut learner = learner.blank();
    let side = O::backbone(&learner.model).input().side;
    let images = Tensor::<4>::zeros([batch, 3, side, side], &device.clone().autodiff());
    let image_indices: Vec<usize> = (0..batch).map(|image| image % place.num_images.max(1)).collect();
    let batch = Batch { images, image_indices: &image_indices };
    let losses = objective.losses(&learner.model, &batch, &Step { place, part: 0 })?;
    learner.step(losses, &Ranks::single())?.read()?;
    // The loss alone does not wait for the gradients.
    learner.wait()
}

/// An error of computing features with `batch_size` images at a time; where memory was lacking, with the
/// batch that fits.
pub fn explain_features<B: Backbone>(
    error: EngineError,
    network: &B,
    batch_size: usize,
    device: &Device,
) -> EngineError {
    explained(error, "training.feature_batch_size", batch_size, device, |batch| {
        try_features(network, batch, device)
    })
}

/// Tries to compute the features of `batch` images.
fn try_features<B: Backbone>(network: &B, batch: usize, device: &Device) -> Result<(), EngineError> {
    let side = network.input().side;
    let images = Tensor::<4>::zeros([batch, 3, side, side], device);
    let features = blank_weights(network).features(images, &Pass::inference());
    host_values(features, "while computing features").map(|_| ())
}
