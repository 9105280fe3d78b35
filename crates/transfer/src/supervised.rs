//! The same network trained with labels, for comparison with features learned without them.

use std::path::Path;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor, TensorData};
use deepcluster_data::{Loader, Transform};
use deepcluster_engine::{Observer, images_tensor};
use deepcluster_models::{Backbone, Head, Pass, export_weights};
use deepcluster_trainer::TrainedNetwork;

use crate::error::TransferError;
use crate::fine_tuning::{Classifier, MAX_STEPS, StepBatches, TaskRecord, TaskSgd, fine_tune};
use crate::labelled_folder::LabelledFolder;
use crate::task_identity::{TaskIdentity, TaskSettings, fingerprint};
use crate::task_seeds::TaskSeeds;

/// Trains `untrained`, the result of [`TrainedNetwork::untrained`], on the classes of `folder`, numbered
/// below `num_classes`, for `epochs` passes, at least 1, with the crops, step size, momentum, weight decay
/// and dropout of its own settings: as in a run, but with labels in place of clusters. With a `state` file a
/// training that was stopped is resumed.
///
/// # Errors
/// [`TransferError::InvalidConfig`] for no epochs or too many, [`TransferError::Stopped`] on request of
/// `observer`, [`TransferError::Diverged`], [`TransferError::OtherTask`] and [`TransferError::Damaged`] for a
/// `state` that cannot be resumed, [`TransferError::Device`].
pub fn train_with_labels<B: Backbone>(
    untrained: &TrainedNetwork<B>,
    folder: &LabelledFolder,
    num_classes: usize,
    epochs: usize,
    state: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<TrainedNetwork<B>, TransferError> {
    let settings = untrained.config();
    let device = untrained.device().clone();
    let tracking = device.clone().autodiff();
    let images = folder.labelled_images();
    let training = &settings.training;
    let steps_per_epoch = images.len().div_ceil(training.batch_size).max(1);
    let most = MAX_STEPS / steps_per_epoch;
    if !(1..=most).contains(&epochs) {
        let (field, value, allowed) =
            ("epochs", epochs.to_string(), format!("1 to {most} with so many images"));
        return Err(TransferError::InvalidConfig { field, value, allowed });
    }
    let num_steps = epochs * steps_per_epoch;
    let learned = settings.objective.sgd();
    let sgd = TaskSgd {
        num_steps,
        batch_size: training.batch_size,
        learning_rate: learned.learning_rate,
        decay_steps: num_steps,
        decay_factor: 1.0,
        momentum: learned.momentum,
        weight_decay: learned.weight_decay,
        max_gradient_norm: None,
    };
    let network = untrained.network().clone().train();
    let seeds = TaskSeeds::new(settings.seed);
    let head = Head::new(network.feature_dim(), num_classes, seeds.head(0), &tracking);
    let names = folder.described();
    let weights = export_weights(untrained.network())?;
    // All settings of the run, since its crops and its dropout are used too; the number of steps may grow.
    let identity = TaskIdentity::new(
        TaskSettings::new(settings, &[]),
        fingerprint(&weights, names.iter().map(Vec::as_slice).chain([num_classes.to_string().as_bytes()])),
    );
    let record = TaskRecord { state, identity };
    let data = &settings.images;
    let crop = Transform::RandomCrop {
        size: data.size as u32,
        scale: (data.crop_scale_min as f32, data.crop_scale_max as f32),
        ratio: (data.crop_ratio_min as f32, data.crop_ratio_max as f32),
        flip_probability: data.flip_probability as f32,
        normalization: settings.normalization(),
    };
    let loader = Loader::new(folder.images.clone(), settings.loader_config())?;
    let mut batches = StepBatches::new(loader, crop, images, &sgd, seeds)?;
    let step_loss = |classifier: &Classifier<B>, step: usize| {
        let Some(batch) = batches.batch(step) else { return Ok(None) };
        // Batch norm needs two images at least.
        if batch.image_indices.len() < 2 {
            return Ok(None);
        }
        let labels: Vec<i64> =
            batch.image_indices.iter().filter_map(|&image| folder.labels[image]).map(i64::from).collect();
        let targets = TensorData::new(labels, [batch.image_indices.len()]);
        let targets = Tensor::<1, Int>::from_data(targets, &tracking);
        let images = images_tensor(&batch, &tracking);
        let scores = classifier.forward_images(images, &Pass::training(seeds.dropout(step, 0)));
        Ok(Some(CrossEntropyLossConfig::new().init(&tracking).forward(scores, targets)))
    };
    let classifier = Classifier { network, head };
    let (classifier, _) = fine_tune(classifier, &sgd, &record, observer, step_loss)?;
    Ok(TrainedNetwork::from_network(settings.clone(), classifier.network.valid(), &device))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use deepcluster_data::{LabelSource, SyntheticConfig, write_synthetic_folder};
    use deepcluster_evaluation::WeightedKnnConfig;
    use deepcluster_models::Network;
    use deepcluster_trainer::TrainConfig;

    use super::*;
    use crate::labelled_folder::LabelledPair;
    use crate::layer_knn::knn_on_layers;

    #[test]
    fn labels_help_and_a_stop_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        for (name, seed) in [("train", 1), ("test", 2)] {
            let drawings = SyntheticConfig { num_images: 160, image_size: 32, seed };
            write_synthetic_folder(&root.path().join(name), &drawings, &mut |_| {}).unwrap();
        }
        let path = |name: &str| root.path().join(name);
        let data = LabelledPair::scan(&path("train"), &path("test"), &LabelSource::Auto).unwrap();
        let mut settings = TrainConfig::default();
        settings.images.size = 32;
        settings.network.width = 0.25;
        settings.network.dropout = 0.0;
        settings.training.batch_size = 16;
        settings.set("objective.learning_rate=0.01").unwrap();
        let device = Device::flex();
        let untrained = TrainedNetwork::untrained(settings.clone(), &device).unwrap();
        let train = |epochs, state: Option<&Path>| {
            let num_classes = data.class_names.len();
            train_with_labels(&untrained, &data.train, num_classes, epochs, state, &mut ()).unwrap()
        };
        let network = train(40, None);
        let accuracy = |network: &Network| {
            let config = WeightedKnnConfig { num_neighbors: vec![5], temperature: 0.07 };
            let layers = ["fc7".to_string()];
            let found =
                knn_on_layers(network, &settings.reading(), &device, &data, &layers, &config, &mut ());
            found.unwrap()[0].accuracies[0].top1
        };
        let (before, after) = (accuracy(untrained.network()), accuracy(network.network()));
        assert!(after > before + 0.05, "{before} {after}");
        let state = path("state.safetensors");
        train(2, Some(&state));
        let resumed = train(40, Some(&state));
        assert_eq!(export_weights(resumed.network()).unwrap(), export_weights(network.network()).unwrap());
    }
}
