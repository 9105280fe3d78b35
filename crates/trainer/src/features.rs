//! Features of every image of a folder.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_data::{ImageBatch, Loader, Sample, Transform};
use deepcluster_models::{Backbone, DropoutMasks};
use ndarray::Array2;

use crate::error::TrainerError;
use crate::observer::{TrainEvent, TrainObserver};

/// Features of the images that could be read, in their order.
pub(crate) struct ExtractedFeatures {
    /// `[num_read, feature_dim]`
    pub(crate) features: Array2<f32>,
    /// Which image each row belongs to.
    pub(crate) image_indices: Vec<usize>,
    /// Images that could not be read, and why.
    pub(crate) failures: Vec<(usize, String)>,
}

/// Which layer of the network to take.
#[derive(Clone, Copy)]
pub(crate) enum Layer {
    /// The features that are clustered.
    Features,
    /// The maps after the last convolution and pooling, flattened.
    Convolutions,
}

/// How images become features.
pub(crate) struct FeaturePass<'a> {
    pub(crate) device: &'a Device,
    pub(crate) loader: &'a Loader,
    pub(crate) transform: Transform,
    pub(crate) batch_size: usize,
}

/// Passes the images `image_indices` through `network`; `None` when `observer` asks to stop.
pub(crate) fn extract<B: Backbone>(
    network: &B,
    pass: &FeaturePass<'_>,
    image_indices: &[usize],
    layer: Layer,
    observer: &mut dyn TrainObserver,
) -> Result<Option<ExtractedFeatures>, TrainerError> {
    let sample = |&image_index: &usize| Sample { image_index, augmentation_seed: 0 };
    let plan =
        image_indices.chunks(pass.batch_size).map(|chunk| chunk.iter().map(sample).collect()).collect();
    let mut rows: Vec<f32> = Vec::new();
    let mut feature_dim = 0;
    let mut result = ExtractedFeatures {
        features: Array2::zeros((0, 0)),
        image_indices: Vec::with_capacity(image_indices.len()),
        failures: Vec::new(),
    };
    for batch in pass.loader.batches(pass.transform, plan) {
        if observer.should_stop() {
            return Ok(None);
        }
        let ImageBatch { pixels, size, image_indices: read, failures } = batch;
        result.failures.extend(failures);
        if !read.is_empty() {
            let images = images_tensor(pixels, read.len(), size, pass.device);
            let output = match layer {
                Layer::Features => network.forward_features(images, &DropoutMasks::off()),
                Layer::Convolutions => network.forward_convolutions(images).flatten(1, 3),
            };
            feature_dim = output.dims()[1];
            // One allocation for all rows: the matrix is the largest thing in memory.
            if rows.capacity() == 0 {
                rows.reserve_exact(image_indices.len() * feature_dim);
            }
            let data = output
                .try_into_data()
                .map_err(|error| TrainerError::device("while computing features", error))?;
            let values = data
                .as_slice::<f32>()
                .map_err(|error| TrainerError::device("while reading features", format!("{error:?}")))?;
            rows.extend_from_slice(values);
            result.image_indices.extend(read);
        }
        let done = result.image_indices.len() + result.failures.len();
        observer.event(&TrainEvent::Progress { done, loss: None });
    }
    let shape = (result.image_indices.len(), feature_dim);
    result.features =
        Array2::from_shape_vec(shape, rows).expect("every batch adds feature_dim values per image");
    Ok(Some(result))
}

/// A batch on the device, `[batch, 3, size, size]`.
pub(crate) fn images_tensor(pixels: Vec<f32>, batch: usize, size: u32, device: &Device) -> Tensor<4> {
    let side = size as usize;
    Tensor::from_data(TensorData::new(pixels, [batch, 3, side, side]), device)
}
