//! Training of the detector.

use std::path::Path;

use burn::tensor::Tensor;
use deepcluster_engine::Observer;
use deepcluster_evaluation::BoundingBox;
use deepcluster_models::{DenseBackbone, Pass, export_weights};
use deepcluster_trainer::TrainedNetwork;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::DetectionConfig;
use super::boxes::mirrored;
use super::detector::{Detector, DetectorImage};
use super::region_sampling::sample_regions;
use super::region_targets::detection_loss;
use crate::error::TransferError;
use crate::fine_tuning::{LossPoint, TaskRecord, Trunk, fine_tune, shuffled_steps, trunk_maps};
use crate::proposals::image_boxes::Proposals;
use crate::task_identity::{TaskIdentity, TaskSettings, fingerprint};
use crate::task_seeds::TaskSeeds;
use crate::voc_dataset::{VocBox, VocDataset};

/// Settings that may change when a training is resumed: more steps, and another test.
const CHANGEABLE: [&str; 4] = ["sgd.num_steps", "min_score", "suppression_overlap", "max_detections"];

/// A detector after its training.
pub(super) struct TrainedDetector<N: DenseBackbone> {
    /// On a device with autodiff.
    pub(super) detector: Detector<N>,
    /// The layers that did not learn, where there are any.
    pub(super) frozen: Option<N>,
    pub(super) losses: Vec<LossPoint>,
}

/// The detector, the convolutions where they do not learn, and the loss curve.
pub(super) fn train<N: DenseBackbone>(
    trained: &TrainedNetwork<N>,
    data: &VocDataset,
    proposals: &Proposals,
    config: &DetectionConfig,
    state: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<TrainedDetector<N>, TransferError> {
    let (network, device) = (trained.network(), trained.device());
    let seeds = TaskSeeds::new(config.seed);
    let Trunk { network: learning, frozen } = Trunk::new(network, config.layers, false, seeds);
    let tracking = device.clone().autodiff();
    let detector = Detector::new(learning, data.class_names.len(), seeds, &tracking);
    let names = names(data, proposals);
    let identity = TaskIdentity::new(
        TaskSettings::new(config, &CHANGEABLE),
        fingerprint(&export_weights(network)?, names.iter().map(Vec::as_slice)),
    );
    let record = TaskRecord { state, identity };
    let normalization = trained.reading().normalization();
    let num_images = data.train.names.len();
    let mut steps = None;
    let step_loss = |detector: &Detector<N>, step: usize| {
        let steps = steps.get_or_insert_with(|| shuffled_steps(num_images, &config.sgd, seeds, step));
        let order = steps.next().unwrap_or_default();
        let (mut pooled, mut sampled) = (Vec::new(), Vec::new());
        let images = &data.train.images;
        for (position, index) in order.into_iter().enumerate() {
            let generator = |seed| ChaCha8Rng::seed_from_u64(seed);
            let mirror = generator(seeds.augmentation(step, position)).random::<bool>();
            let image = match DetectorImage::read(images, index, config, mirror, normalization, device) {
                Ok(image) => image,
                Err(error) => {
                    log::warn!("left out: {error}");
                    continue;
                }
            };
            let place = |bounds: &BoundingBox| if mirror { mirrored(bounds, image.width) } else { *bounds };
            let objects: Vec<VocBox> = data.train.objects[index]
                .iter()
                .map(|object| VocBox { bounds: place(&object.bounds), ..*object })
                .collect();
            let found = &proposals[&data.train.names[index]];
            let boxes: Vec<BoundingBox> = found.iter().take(config.max_proposals).map(place).collect();
            let regions =
                sample_regions(&boxes, &objects, config, &mut generator(seeds.regions(step, position)));
            if regions.is_empty() {
                continue;
            }
            let maps = trunk_maps(&detector.network, frozen.as_ref(), image.pixels, |network, images| {
                network.maps(images)
            });
            let bounds: Vec<BoundingBox> = regions.iter().map(|region| region.bounds).collect();
            pooled.push(detector.pool(maps, &bounds, image.scale));
            sampled.extend(regions);
        }
        if sampled.is_empty() {
            return Ok(None);
        }
        let dropout = Pass::training(seeds.dropout(step, 0));
        let (scores, transforms) = detector.forward(Tensor::cat(pooled, 0), &dropout);
        Ok(Some(detection_loss(scores, transforms, &sampled)))
    };
    let (detector, losses) = fine_tune(detector, &config.sgd, &record, observer, step_loss)?;
    Ok(TrainedDetector { detector, frozen, losses })
}

/// Bytes that identify the training data.
fn names(data: &VocDataset, proposals: &Proposals) -> Vec<Vec<u8>> {
    let image = |name: &String| {
        let count = proposals[name].len();
        format!("{name} {count} {:?}", proposals[name].first()).into_bytes()
    };
    data.class_names
        .iter()
        .map(|name| name.clone().into_bytes())
        .chain(data.train.names.iter().map(image))
        .collect()
}
