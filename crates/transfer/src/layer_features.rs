//! Values of any layers for a list of images.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use deepcluster_data::{ImageFolder, Loader};
use deepcluster_engine::{Observer, host_values};
use deepcluster_models::{Backbone, DropoutMasks};
use deepcluster_trainer::TrainConfig;
use ndarray::Array2;

use crate::error::TransferError;
use crate::pooled_taps::pool_map;

/// Name of the features themselves, the last layer below the head before its ReLU.
pub(crate) const FEATURES: &str = "fc7";

/// A matrix for each layer, a row for each image that can be read.
pub(crate) struct LayerFeatures {
    pub(crate) names: Vec<String>,
    pub(crate) layers: Vec<Array2<f32>>,
    /// Which image each row belongs to.
    pub(crate) image_indices: Vec<usize>,
}

/// Passes images through `network`, by their central crops; `layers` names taps, whose maps are pooled, or `fc7`; all
/// taps and `fc7` where it is empty.
pub(crate) fn features_of_layers<B: Backbone>(
    network: &B,
    settings: &TrainConfig,
    device: &Device,
    images: &Arc<ImageFolder>,
    wanted: &[usize],
    layers: &[String],
    observer: &mut dyn Observer,
) -> Result<LayerFeatures, TransferError> {
    let device = device.clone().without_autodiff();
    let names = layer_names(network, layers)?;
    let sources: Vec<Source> = {
        let taps = network.tap_names();
        let source = |name| taps.iter().position(|tap| tap == name).map_or(Source::Features, Source::Tap);
        names.iter().map(source).collect()
    };
    let loader = Loader::new(images.clone(), settings.loader_config())?;
    let pass = settings.feature_pass(&loader, wanted, &device);
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); sources.len()];
    let mut read = Vec::with_capacity(wanted.len());
    let passed = pass.run(observer, |images, image_indices| {
        read.extend_from_slice(image_indices);
        collect(network, images, &sources, &mut rows)
    })?;
    passed.ok_or(TransferError::Stopped)?;
    let matrix = |rows: Vec<f32>| {
        let num_columns = rows.len() / read.len().max(1);
        Array2::from_shape_vec((read.len(), num_columns), rows)
            .expect("every image adds as many values as the others")
    };
    Ok(LayerFeatures { names, layers: rows.into_iter().map(matrix).collect(), image_indices: read })
}

/// The names as given, or those of all layers.
fn layer_names<B: Backbone>(network: &B, layers: &[String]) -> Result<Vec<String>, TransferError> {
    let mut known = network.tap_names();
    known.push(FEATURES.to_string());
    match layers.iter().find(|layer| !known.contains(layer)) {
        Some(layer) => Err(TransferError::UnknownLayer { layer: layer.clone(), known: known.join(", ") }),
        None if layers.is_empty() => Ok(known),
        None => Ok(layers.to_vec()),
    }
}

#[derive(Clone, Copy)]
enum Source {
    Tap(usize),
    Features,
}

fn collect<B: Backbone>(
    network: &B,
    images: Tensor<4>,
    sources: &[Source],
    rows: &mut [Vec<f32>],
) -> Result<(), TransferError> {
    let needs_taps = sources.iter().any(|source| matches!(source, Source::Tap(_)));
    let taps = if needs_taps { network.forward_taps(images.clone()) } else { Vec::new() };
    for (source, rows) in sources.iter().zip(rows) {
        let values = match *source {
            Source::Tap(tap) => pool_map(taps[tap].clone()),
            Source::Features => network.forward_features(images.clone(), &DropoutMasks::off()),
        };
        rows.extend(host_values(values, "while computing features")?);
    }
    Ok(())
}
