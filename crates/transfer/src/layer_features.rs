//! Values of any layers for a list of images.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use deepcluster_data::Images;
use deepcluster_engine::{ImageReading, Observer, host_values};
use deepcluster_models::{Backbone, LayerId};
use ndarray::Array2;

use crate::error::TransferError;
use crate::pooled_taps::pool_activation;

/// A matrix for each layer, a row for each image that can be read.
pub(crate) struct LayerFeatures {
    pub(crate) names: Vec<String>,
    pub(crate) layers: Vec<Array2<f32>>,
    /// Image of each row.
    pub(crate) image_indices: Vec<usize>,
}

/// Passes images through `network`, by their central crops; `layers` names taps, whose maps are pooled, or
/// `fc7`; all taps and `fc7` where it is empty.
pub(crate) fn layer_features<B: Backbone>(
    network: &B,
    reading: &ImageReading,
    device: &Device,
    images: &Arc<Images>,
    wanted: &[usize],
    layers: &[String],
    observer: &mut dyn Observer,
) -> Result<LayerFeatures, TransferError> {
    let device = device.clone().without_autodiff();
    let wanted_layers = find_layers(network, layers)?;
    let names = wanted_layers.iter().map(|layer| layer.name(network)).collect();
    let loader = reading.loader(images.clone())?;
    let pass = reading.pass(&loader, wanted, &device);
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); wanted_layers.len()];
    let mut read = Vec::with_capacity(wanted.len());
    let passed = pass.run(observer, |images, image_indices| {
        read.extend_from_slice(image_indices);
        collect(network, images, &wanted_layers, &mut rows)
    })?;
    passed.ok_or(TransferError::Stopped)?;
    let matrix = |rows: Vec<f32>| {
        let num_columns = rows.len() / read.len().max(1);
        Array2::from_shape_vec((read.len(), num_columns), rows)
            .expect("every image adds as many values as the others")
    };
    Ok(LayerFeatures { names, layers: rows.into_iter().map(matrix).collect(), image_indices: read })
}

/// The layers of these names, or all.
fn find_layers<B: Backbone>(network: &B, names: &[String]) -> Result<Vec<LayerId>, TransferError> {
    let all = LayerId::all(network);
    if names.is_empty() {
        return Ok(all);
    }
    let find = |layer: &String| {
        LayerId::find(network, layer).ok_or_else(|| {
            let known: Vec<String> = all.iter().map(|layer| layer.name(network)).collect();
            TransferError::UnknownLayer { layer: layer.clone(), known: known.join(", ") }
        })
    };
    names.iter().map(find).collect()
}

fn collect<B: Backbone>(
    network: &B,
    images: Tensor<4>,
    layers: &[LayerId],
    rows: &mut [Vec<f32>],
) -> Result<(), TransferError> {
    let names: Vec<String> = layers.iter().map(|layer| layer.name(network)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (activation, rows) in network.activations(images, &names).into_iter().zip(rows) {
        rows.extend(host_values(pool_activation(activation), "while computing features")?);
    }
    Ok(())
}
