//! Training of the detector.

use std::path::Path;

use burn::tensor::Tensor;
use deepcluster_engine::Observer;
use deepcluster_evaluation::BoundingBox;
use deepcluster_models::{DenseBackbone, Pass, export_weights};
use deepcluster_trainer::TrainedNetwork;
use rand::RngExt;

use super::DetectionConfig;
use super::boxes::mirrored;
use super::detector::{Detector, DetectorImage};
use super::region_sampling::sample_regions;
use super::region_targets::detection_loss;
use crate::error::TransferError;
use crate::fine_tuning::{
    LossPoint, TaskRecord, Trunk, fine_tune, fingerprint, shuffled_steps, step_generator, trunk_maps,
};
use crate::proposals::image_boxes::Proposals;
use crate::voc_dataset::{VocBox, VocDataset};

/// A detector after its training.
pub(super) struct TrainedDetector<N: DenseBackbone> {
    /// On a device with autodiff.
    pub(super) detector: Detector<N>,
    /// The layers that did not learn, where there are any.
    pub(super) frozen: Option<N>,
    pub(super) losses: Vec<LossPoint>,
}

/// The detector, the convolutions where they do not learn, and the losses on the way.
pub(super) fn train<N: DenseBackbone>(
    trained: &TrainedNetwork<N>,
    data: &VocDataset,
    proposals: &Proposals,
    config: &DetectionConfig,
    state: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<TrainedDetector<N>, TransferError> {
    let (network, device) = (trained.network(), trained.device());
    let Trunk { network: learning, frozen } = Trunk::new(network, config.layers, false, config.seed);
    let tracking = device.clone().autodiff();
    let detector = Detector::new(learning, data.class_names.len(), config.seed, &tracking);
    let record = TaskRecord {
        state,
        settings: settings_text(config),
        fingerprint: fingerprint(&export_weights(network)?, names(data, proposals).iter().map(Vec::as_slice)),
    };
    let normalization = trained.reading().normalization();
    let num_images = data.train.names.len();
    let mut steps = None;
    let loss_of = |detector: &Detector<N>, step: usize| {
        let steps = steps.get_or_insert_with(|| shuffled_steps(num_images, &config.sgd, config.seed, step));
        let images = steps.next().unwrap_or_default();
        let mut generator = step_generator(config.seed, step);
        let (mut pooled, mut sampled) = (Vec::new(), Vec::new());
        for index in images {
            let mirror = generator.random::<bool>();
            let path = data.train.images.path(index);
            let image = match DetectorImage::read(&path, config, mirror, normalization, device) {
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
            let regions = sample_regions(&boxes, &objects, config, &mut generator);
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
        let dropout = Pass::training(generator.random());
        let (scores, transforms) = detector.forward(Tensor::cat(pooled, 0), &dropout);
        Ok(Some(detection_loss(scores, transforms, &sampled)))
    };
    let (detector, losses) = fine_tune(detector, &config.sgd, &record, observer, loss_of)?;
    Ok(TrainedDetector { detector, frozen, losses })
}

/// Everything that a state must share, as text; more steps may be asked for later, and tests may differ.
fn settings_text(config: &DetectionConfig) -> String {
    let mut config = config.clone();
    let default = DetectionConfig::default();
    config.sgd.num_steps = 0;
    config.min_score = default.min_score;
    config.suppression_overlap = default.suppression_overlap;
    config.max_detections = default.max_detections;
    format!("{config:?}")
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
