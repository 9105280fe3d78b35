//! Nearest-neighbour classification on any layer.

use burn::tensor::Device;
use deepcluster_engine::{ImageReading, Observer};
use deepcluster_evaluation::{KnnAccuracy, WeightedKnnConfig, weighted_knn};
use deepcluster_models::Backbone;
use serde::{Deserialize, Serialize};

use crate::error::TransferError;
use crate::labelled_folder::{LabelledFolder, LabelledPair};
use crate::layer_features::layer_features;

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

/// Classifies the test images by their nearest training images on each of `layers`: names of the network's
/// [layers](Backbone::layers); all but pooled maps where it is empty. `reading` is that of the network's run;
/// it lies on `device` without autodiff.
///
/// # Errors
/// [`TransferError::UnknownLayer`], [`TransferError::Stopped`] on request of `observer`,
/// [`TransferError::Device`], and the errors of [`weighted_knn`].
pub fn knn_on_layers<B: Backbone>(
    network: &B,
    reading: &ImageReading,
    device: &Device,
    data: &LabelledPair,
    layers: &[String],
    config: &WeightedKnnConfig,
    observer: &mut dyn Observer,
) -> Result<Vec<LayerKnn>, TransferError> {
    let mut read = |folder: &LabelledFolder| {
        let wanted = folder.labelled_images();
        let features = layer_features(network, reading, device, &folder.images, &wanted, layers, observer)?;
        let labels: Vec<u32> =
            features.image_indices.iter().filter_map(|&image| folder.labels[image]).collect();
        Ok::<_, TransferError>((features, labels))
    };
    let ((train, train_labels), (test, test_labels)) = (read(&data.train)?, read(&data.test)?);
    let mut all = Vec::with_capacity(train.layers.len());
    for ((layer, train), test) in train.names.iter().zip(&train.layers).zip(&test.layers) {
        let accuracies = weighted_knn(train.view(), &train_labels, test.view(), &test_labels, config)?;
        all.push(LayerKnn { layer: layer.clone(), num_values: train.ncols(), accuracies });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use deepcluster_data::{LabelSource, SyntheticConfig, write_synthetic_folder};
    use deepcluster_models::{Architecture, ConvNetConfig};

    use deepcluster_trainer::TrainConfig;

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
        settings.images.size = 32;
        let layers: Vec<String> = ["conv1", "conv5", "fc7"].map(str::to_string).to_vec();
        let config = WeightedKnnConfig { num_neighbors: vec![1], temperature: 0.07 };
        let run = |layers: &[String]| {
            knn_on_layers(&network, &settings.reading(), &device, &data, layers, &config, &mut ())
        };
        let found = run(&layers).unwrap();
        assert_eq!(found.iter().map(|knn| knn.layer.clone()).collect::<Vec<_>>(), layers);
        assert_eq!(found[2].num_values, 128);
        // The training images are the test images: the nearest is the image itself.
        assert!(found.iter().all(|knn| knn.accuracies[0].top1 == 1.0), "{found:?}");
        let error = run(&["fc8".to_string()]).unwrap_err().to_string();
        assert!(error.contains("conv5, fc7"), "{error}");
    }
}
