//! Nearest-neighbour classification on any layer.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_data::{ImageBatch, Loader, Sample, Transform};
use deepcluster_evaluation::{KnnAccuracy, WeightedKnnConfig, weighted_knn};
use deepcluster_models::{Backbone, DropoutMasks};
use deepcluster_trainer::{Phase, TrainConfig, TrainEvent, TrainObserver};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::TransferError;
use crate::labelled_folder::{LabelledFolder, LabelledPair};
use crate::pooled_taps::pool_map;

/// Name of the features themselves, the last layer below the head before its ReLU.
const FEATURES: &str = "fc7";

/// Accuracies on one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerKnn {
    /// Name of the layer.
    pub layer: String,
    /// Values per image; maps are averaged to about [`MAX_POOLED_VALUES`](crate::MAX_POOLED_VALUES).
    pub num_values: usize,
    /// One for each number of neighbours.
    pub accuracies: Vec<KnnAccuracy>,
}

/// Classifies the test images by their nearest training images on each of `layers`: names of the network's taps, or
/// `fc7` for its features. `settings` are those of the network's run; it lies on `device` without autodiff.
///
/// # Errors
/// [`TransferError::UnknownLayer`], [`TransferError::Stopped`] on request of `observer`, [`TransferError::Device`], and
/// what [`weighted_knn`] reports.
pub fn knn_of_layers<B: Backbone>(
    network: &B,
    settings: &TrainConfig,
    device: &Device,
    data: &LabelledPair,
    layers: &[String],
    config: &WeightedKnnConfig,
    observer: &mut dyn TrainObserver,
) -> Result<Vec<LayerKnn>, TransferError> {
    let device = device.clone().without_autodiff();
    let taps = network.tap_names();
    let source = |layer: &String| match taps.iter().position(|name| name == layer) {
        Some(tap) => Ok(Source::Tap(tap)),
        None if layer == FEATURES => Ok(Source::Features),
        None => {
            let known = format!("{}, {FEATURES}", taps.join(", "));
            Err(TransferError::UnknownLayer { layer: layer.clone(), known })
        }
    };
    let sources: Vec<Source> = layers.iter().map(source).collect::<Result<_, _>>()?;
    let pass = Pass { network, settings, device: &device, sources: &sources };
    let (train, train_labels) = pass.run(&data.train, observer)?;
    let (test, test_labels) = pass.run(&data.test, observer)?;
    let mut all = Vec::with_capacity(layers.len());
    for ((layer, train), test) in layers.iter().zip(train).zip(test) {
        let accuracies = weighted_knn(train.view(), &train_labels, test.view(), &test_labels, config)?;
        all.push(LayerKnn { layer: layer.clone(), num_values: train.ncols(), accuracies });
    }
    Ok(all)
}

#[derive(Clone, Copy)]
enum Source {
    Tap(usize),
    Features,
}

struct Pass<'a, B> {
    network: &'a B,
    settings: &'a TrainConfig,
    device: &'a Device,
    sources: &'a [Source],
}

impl<B: Backbone> Pass<'_, B> {
    /// A matrix for every source of the images that can be read, and their labels.
    fn run(
        &self,
        folder: &LabelledFolder,
        observer: &mut dyn TrainObserver,
    ) -> Result<(Vec<Array2<f32>>, Vec<u32>), TransferError> {
        let images = folder.labelled_images();
        let total = images.len();
        observer.event(&TrainEvent::PhaseStarted { phase: Phase::Features, epoch: 0, num_epochs: 0, total });
        let loader = Loader::new(folder.images.clone(), self.settings.loader_config())?;
        let size = self.settings.data.image_size as u32;
        let (resize, normalization) = (self.settings.resize(), self.settings.normalization());
        let transform = Transform::Center { resize, size, normalization };
        let sample = |&image_index: &usize| Sample { image_index, augmentation_seed: 0 };
        let batch_size = self.settings.training.feature_batch_size;
        let plan = images.chunks(batch_size).map(|chunk| chunk.iter().map(sample).collect()).collect();
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); self.sources.len()];
        let mut labels = Vec::with_capacity(total);
        let mut done = 0;
        for batch in loader.batches(transform, plan) {
            if observer.should_stop() {
                return Err(TransferError::Stopped);
            }
            let ImageBatch { pixels, size, image_indices, failures } = batch;
            done += image_indices.len() + failures.len();
            if !image_indices.is_empty() {
                let side = size as usize;
                let shape = [image_indices.len(), 3, side, side];
                let images = Tensor::<4>::from_data(TensorData::new(pixels, shape), self.device);
                self.collect(images, &mut rows)?;
                labels.extend(image_indices.iter().filter_map(|&image| folder.labels[image]));
            }
            observer.event(&TrainEvent::Progress { done, loss: None });
        }
        let matrix = |rows: Vec<f32>| {
            let num_columns = rows.len() / labels.len().max(1);
            Array2::from_shape_vec((labels.len(), num_columns), rows)
                .expect("every image adds as many values as the others")
        };
        Ok((rows.into_iter().map(matrix).collect(), labels))
    }

    fn collect(&self, images: Tensor<4>, rows: &mut [Vec<f32>]) -> Result<(), TransferError> {
        let needs_taps = self.sources.iter().any(|source| matches!(source, Source::Tap(_)));
        let taps = if needs_taps { self.network.forward_taps(images.clone()) } else { Vec::new() };
        for (source, rows) in self.sources.iter().zip(rows) {
            let values = match *source {
                Source::Tap(tap) => pool_map(taps[tap].clone()),
                Source::Features => self.network.forward_features(images.clone(), &DropoutMasks::off()),
            };
            let data = values
                .try_into_data()
                .map_err(|error| TransferError::device("while computing features", error))?;
            let values = data
                .as_slice::<f32>()
                .map_err(|error| TransferError::device("while reading features", format!("{error:?}")))?;
            rows.extend_from_slice(values);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use deepcluster_data::{LabelSource, SyntheticConfig, write_synthetic_folder};
    use deepcluster_models::{Architecture, ConvNetConfig};

    use super::*;

    #[test]
    fn images_find_themselves_on_every_layer() {
        let folder = tempfile::tempdir().unwrap();
        let drawings = SyntheticConfig { num_images: 60, image_size: 32, seed: 1 };
        write_synthetic_folder(folder.path(), &drawings, &mut |_| {}).unwrap();
        let data = LabelledPair::scan(folder.path(), folder.path(), &LabelSource::Auto).unwrap();
        let device = Device::flex();
        let network = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.125)
            .unwrap()
            .init(1, &device)
            .unwrap();
        let mut settings = TrainConfig::default();
        settings.data.image_size = 32;
        let layers: Vec<String> = ["conv1", "conv5", "fc7"].map(str::to_string).to_vec();
        let config = WeightedKnnConfig { num_neighbors: vec![1], temperature: 0.07 };
        let run =
            |layers: &[String]| knn_of_layers(&network, &settings, &device, &data, layers, &config, &mut ());
        let found = run(&layers).unwrap();
        assert_eq!(found.iter().map(|knn| knn.layer.clone()).collect::<Vec<_>>(), layers);
        assert_eq!(found[2].num_values, 128);
        // The training images are the test images: the nearest is the image itself.
        assert!(found.iter().all(|knn| knn.accuracies[0].top1 == 1.0), "{found:?}");
        let error = run(&["fc8".to_string()]).unwrap_err().to_string();
        assert!(error.contains("conv5, fc7"), "{error}");
    }
}
