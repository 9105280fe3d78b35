//! Features of every image of a folder.

use std::collections::VecDeque;
use std::iter;

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_clustering::{FeatureType, Rows};
use deepcluster_models::{Backbone, LayerId, Pass};
use ndarray::{Array2, ArrayView2};

use crate::error::EngineError;
use crate::events::Observer;
use crate::features::store::FeatureStore;
use crate::memory::explain_features;
use crate::pass::ImagePass;
use crate::tensors::{host_values, images_tensor};

/// Features of the images that could be read, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractedFeatures {
    /// `[num_read, feature_dim]`
    pub features: Array2<f32>,
    /// Which image each row belongs to, ascending.
    pub image_indices: Vec<usize>,
    /// Images that could not be read, and why.
    pub failures: Vec<(usize, String)>,
}

/// Features of the images of a batch that could be read.
pub struct FeatureBatch<'a> {
    /// Which image each row belongs to.
    pub image_indices: &'a [usize],
    /// `[image_indices.len(), feature_dim]`
    pub features: ArrayView2<'a, f32>,
}

/// Passes images through `network` into one matrix; `None` when `observer` asks to stop.
pub fn extract<B: Backbone>(
    network: &B,
    pass: ImagePass<'_>,
    layer: LayerId,
    observer: &mut dyn Observer,
) -> Result<Option<ExtractedFeatures>, EngineError> {
    let mut matrix = FeatureMatrix::with_capacity(pass.samples.len());
    let mut collect = |batch: FeatureBatch<'_>| {
        matrix.add(&batch);
        Ok::<(), EngineError>(())
    };
    let failures = extract_batches(network, pass, layer, observer, &mut collect)?;
    Ok(failures.map(|failures| matrix.finish(failures)))
}

/// Features of all images of a pass, where they are best kept.
pub struct GatheredFeatures {
    /// `[num_read, feature_dim]`, in the order of the pass.
    pub rows: Box<dyn Rows>,
    /// Images that could not be read, and why.
    pub failures: Vec<(usize, String)>,
}

/// Passes images through `network` and gathers their features as `feature_type`; `None` when `observer` asks
/// to stop.
///
/// `others` compute beside the device of the pass: batches go round-robin; once every device is busy, the
/// oldest is awaited. Features do not depend on how many there are.
///
/// # Errors
/// [`EngineError::OutOfMemory`] with the batch that fits, [`EngineError::Device`], and those of reading
/// images.
pub fn gather_features<B: Backbone>(
    network: &B,
    pass: ImagePass<'_>,
    others: &[Device],
    feature_type: FeatureType,
    observer: &mut dyn Observer,
) -> Result<Option<GatheredFeatures>, EngineError> {
    let (device, batch_size, capacity) = (pass.device, pass.batch_size, pass.samples.len());
    let mut stored = FeatureStore::new(device, feature_type, capacity, network.feature_dim());
    let gathered = extract_to(&mut stored, network, others, pass, observer).and_then(|failures| {
        let Some(failures) = failures else { return Ok(None) };
        Ok(Some(GatheredFeatures { rows: stored.finish()?, failures }))
    });
    gathered.map_err(|error| explain_features(error, network, batch_size, device))
}

fn extract_to<B: Backbone>(
    stored: &mut FeatureStore,
    network: &B,
    others: &[Device],
    pass: ImagePass<'_>,
    observer: &mut dyn Observer,
) -> Result<Option<Vec<(usize, String)>>, EngineError> {
    if others.is_empty() {
        return extract_outputs(network, pass, LayerId::Features, observer, |features, _| {
            stored.append(features)
        });
    }
    let first = pass.device;
    // Clones of a network share their running statistics, which would move with them; `valid` copies them.
    let replicas: Vec<_> = iter::once((network.clone(), first))
        .chain(others.iter().map(|device| (network.valid().to_device(device), device)))
        .collect();
    let mut turns = (0..replicas.len()).cycle();
    let mut running = VecDeque::with_capacity(replicas.len());
    let mut store = |(turn, output): (usize, Tensor<2>)| -> Result<(), EngineError> {
        if turn == 0 {
            return stored.append(output);
        }
        let shape = output.dims();
        let values = host_values(output, "while computing features")?;
        stored.append(Tensor::from_data(TensorData::new(values, shape), first))
    };
    let failures = pass.run_batches(observer, |batch| {
        if running.len() == replicas.len() {
            running.pop_front().map_or(Ok(()), &mut store)?;
        }
        if let Some(turn) = turns.next() {
            let (replica, device) = &replicas[turn];
            let images = images_tensor(batch, device);
            running.push_back((turn, replica.features(images, &Pass::inference())));
        }
        Ok::<(), EngineError>(())
    })?;
    if failures.is_some() {
        running.into_iter().try_for_each(store)?;
    }
    Ok(failures)
}

/// Collects batches.
struct FeatureMatrix {
    rows: Vec<f32>,
    image_indices: Vec<usize>,
    feature_dim: usize,
}

impl FeatureMatrix {
    /// No rows yet, and room for those of `num_images` images.
    fn with_capacity(num_images: usize) -> Self {
        Self { rows: Vec::new(), image_indices: Vec::with_capacity(num_images), feature_dim: 0 }
    }

    /// Adds the rows of a batch.
    fn add(&mut self, batch: &FeatureBatch<'_>) {
        self.feature_dim = batch.features.ncols();
        // One allocation for all rows: the matrix is the largest thing in memory.
        if self.rows.capacity() == 0 {
            self.rows.reserve_exact(self.image_indices.capacity() * self.feature_dim);
        }
        self.rows.extend(batch.features);
        self.image_indices.extend(batch.image_indices);
    }

    /// All rows, with the images that could not be read.
    fn finish(self, failures: Vec<(usize, String)>) -> ExtractedFeatures {
        let shape = (self.image_indices.len(), self.feature_dim);
        let features = Array2::from_shape_vec(shape, self.rows);
        let features = features.expect("every batch adds feature_dim values per image");
        ExtractedFeatures { features, image_indices: self.image_indices, failures }
    }
}

/// Passes images through `network` and hands their features to `sink` batch by batch; returns the
/// images that could not be read and why, or `None` when `observer` asks to stop.
pub fn extract_batches<B: Backbone, E: From<EngineError>>(
    network: &B,
    pass: ImagePass<'_>,
    layer: LayerId,
    observer: &mut dyn Observer,
    sink: &mut dyn FnMut(FeatureBatch<'_>) -> Result<(), E>,
) -> Result<Option<Vec<(usize, String)>>, E> {
    extract_outputs(network, pass, layer, observer, |output, image_indices| {
        let shape = output.dims();
        let values = host_values(output, "while computing features")?;
        let features = ArrayView2::from_shape(shape, &values).expect("a tensor has the values of its shape");
        sink(FeatureBatch { image_indices, features })
    })
}

/// As [`extract_batches`], with the features as they are on the device.
fn extract_outputs<B: Backbone, E: From<EngineError>>(
    network: &B,
    pass: ImagePass<'_>,
    layer: LayerId,
    observer: &mut dyn Observer,
    mut sink: impl FnMut(Tensor<2>, &[usize]) -> Result<(), E>,
) -> Result<Option<Vec<(usize, String)>>, E> {
    pass.run(observer, |images, image_indices| {
        sink(layer.activation(network, images).into_rows(), image_indices)
    })
}
