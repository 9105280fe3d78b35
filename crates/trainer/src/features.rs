//! Features of every image of a folder.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_data::{ImageBatch, Loader, Sample, Transform};
use deepcluster_models::{Backbone, DropoutMasks};
use ndarray::{Array2, ArrayView2};

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

/// Features of the images of a batch that could be read.
pub(crate) struct FeatureBatch<'a> {
    /// Which image each row belongs to.
    pub(crate) image_indices: &'a [usize],
    /// `[image_indices.len(), feature_dim]`
    pub(crate) features: ArrayView2<'a, f32>,
}

/// Passes the images `image_indices` through `network` into one matrix; `None` when `observer` asks to stop.
pub(crate) fn extract<B: Backbone>(
    network: &B,
    pass: &FeaturePass<'_>,
    image_indices: &[usize],
    layer: Layer,
    observer: &mut dyn TrainObserver,
) -> Result<Option<ExtractedFeatures>, TrainerError> {
    let mut matrix = FeatureMatrix::with_capacity(image_indices.len());
    let mut collect = |batch: FeatureBatch<'_>| {
        matrix.add(&batch);
        Ok(())
    };
    let failures = extract_batches(network, pass, image_indices, layer, observer, &mut collect)?;
    Ok(failures.map(|failures| matrix.finish(failures)))
}

/// Collects batches.
pub(crate) struct FeatureMatrix {
    rows: Vec<f32>,
    image_indices: Vec<usize>,
    feature_dim: usize,
}

impl FeatureMatrix {
    pub(crate) fn with_capacity(num_images: usize) -> Self {
        Self { rows: Vec::new(), image_indices: Vec::with_capacity(num_images), feature_dim: 0 }
    }

    pub(crate) fn add(&mut self, batch: &FeatureBatch<'_>) {
        self.feature_dim = batch.features.ncols();
        // One allocation for all rows: the matrix is the largest thing in memory.
        if self.rows.capacity() == 0 {
            self.rows.reserve_exact(self.image_indices.capacity() * self.feature_dim);
        }
        self.rows.extend(batch.features);
        self.image_indices.extend(batch.image_indices);
    }

    pub(crate) fn finish(self, failures: Vec<(usize, String)>) -> ExtractedFeatures {
        let shape = (self.image_indices.len(), self.feature_dim);
        let features = Array2::from_shape_vec(shape, self.rows);
        let features = features.expect("every batch adds feature_dim values per image");
        ExtractedFeatures { features, image_indices: self.image_indices, failures }
    }
}

/// Passes the images `image_indices` through `network` and hands their features to `sink` batch by batch; gives the
/// images that could not be read and why, or `None` when `observer` asks to stop.
pub(crate) fn extract_batches<B: Backbone>(
    network: &B,
    pass: &FeaturePass<'_>,
    image_indices: &[usize],
    layer: Layer,
    observer: &mut dyn TrainObserver,
    sink: &mut dyn FnMut(FeatureBatch<'_>) -> Result<(), TrainerError>,
) -> Result<Option<Vec<(usize, String)>>, TrainerError> {
    let sample = |&image_index: &usize| Sample { image_index, augmentation_seed: 0 };
    let plan =
        image_indices.chunks(pass.batch_size).map(|chunk| chunk.iter().map(sample).collect()).collect();
    let (mut num_read, mut all_failures) = (0, Vec::new());
    for batch in pass.loader.batches(pass.transform, plan) {
        if observer.should_stop() {
            return Ok(None);
        }
        let ImageBatch { pixels, size, image_indices: read, failures } = batch;
        all_failures.extend(failures);
        if !read.is_empty() {
            let images = images_tensor(pixels, read.len(), size, pass.device);
            let output = match layer {
                Layer::Features => network.forward_features(images, &DropoutMasks::off()),
                Layer::Convolutions => network.forward_convolutions(images).flatten(1, 3),
            };
            let shape = (read.len(), output.dims()[1]);
            let data = output
                .try_into_data()
                .map_err(|error| TrainerError::device("while computing features", error))?;
            let values = data
                .as_slice::<f32>()
                .map_err(|error| TrainerError::device("while reading features", format!("{error:?}")))?;
            let features =
                ArrayView2::from_shape(shape, values).expect("a tensor has the values of its shape");
            sink(FeatureBatch { image_indices: &read, features })?;
            num_read += read.len();
        }
        let done = num_read + all_failures.len();
        observer.event(&TrainEvent::Progress { done, loss: None });
    }
    Ok(Some(all_failures))
}

/// A batch on the device, `[batch, 3, size, size]`.
pub(crate) fn images_tensor(pixels: Vec<f32>, batch: usize, size: u32, device: &Device) -> Tensor<4> {
    let side = size as usize;
    Tensor::from_data(TensorData::new(pixels, [batch, 3, side, side]), device)
}
