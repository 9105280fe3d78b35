//! Detections in the test images, and their precision.

use burn::tensor::activation;
use deepcluster_engine::{Event, Observer, Phase, host_values};
use deepcluster_evaluation::{BoundingBox, Detection, GroundTruth, detection_curve};
use deepcluster_models::{DenseBackbone, Pass};
use deepcluster_trainer::TrainedNetwork;

use super::DetectionConfig;
use super::boxes::{clip, decode, non_maximum_suppression};
use super::detector::{Detector, DetectorImage};
use crate::error::TransferError;
use crate::proposals::image_boxes::Proposals;
use crate::voc_classification::{ClassAveragePrecision, MeanAveragePrecision};
use crate::voc_dataset::VocDataset;

/// Regions that pass through the fully connected layers together.
const REGION_BATCH: usize = 256;
/// Use of the device, for errors.
const DURING: &str = "while detecting objects";
/// Overlap from which an object counts as found.
const MIN_OVERLAP: f32 = 0.5;

pub(super) struct Tested {
    pub(super) average_precision: MeanAveragePrecision,
    pub(super) num_images: usize,
    pub(super) num_detections: usize,
}

/// A detection of a class, counted from 0.
struct Found {
    class: usize,
    bounds: BoundingBox,
    score: f32,
}

pub(super) fn test<N: DenseBackbone>(
    detector: &Detector<N>,
    frozen: Option<&N>,
    trained: &TrainedNetwork<N>,
    data: &VocDataset,
    proposals: &Proposals,
    config: &DetectionConfig,
    observer: &mut dyn Observer,
) -> Result<Tested, TransferError> {
    let num_classes = data.class_names.len();
    let normalization = trained.reading().normalization();
    let total = data.test.names.len();
    observer.event(&Event::Started { phase: Phase::images("testing"), epoch: None, total });
    let mut detections: Vec<Vec<Detection>> = vec![Vec::new(); num_classes];
    let mut objects: Vec<Vec<GroundTruth>> = vec![Vec::new(); num_classes];
    let (mut num_images, mut num_detections) = (0, 0);
    for (image, name) in data.test.names.iter().enumerate() {
        if observer.should_stop() {
            return Err(TransferError::Stopped);
        }
        match DetectorImage::read(&data.test.images, image, config, false, normalization, trained.device()) {
            Err(error) => log::warn!("left out: {error}"),
            Ok(input) => {
                num_images += 1;
                for object in &data.test.objects[image] {
                    let (bounds, is_difficult) = (object.bounds, object.is_difficult);
                    objects[object.class].push(GroundTruth { image, bounds, is_difficult });
                }
                let boxes = &proposals[name];
                let boxes = &boxes[..boxes.len().min(config.max_proposals)];
                for Found { class, bounds, score } in
                    detect(detector, frozen, input, boxes, num_classes, config)?
                {
                    detections[class].push(Detection { image, bounds, score });
                    num_detections += 1;
                }
            }
        }
        observer.event(&Event::Progress { done: image + 1, loss: None });
    }
    let class_precision = |(class, name): (usize, &String)| {
        let num_positives = objects[class].iter().filter(|object| !object.is_difficult).count();
        let curve = detection_curve(&detections[class], &objects[class], MIN_OVERLAP);
        ClassAveragePrecision::new(name, num_positives, curve)
    };
    let classes = data.class_names.iter().enumerate().map(class_precision).collect::<Result<_, _>>()?;
    Ok(Tested { average_precision: MeanAveragePrecision::new(classes), num_images, num_detections })
}

/// The best detections of an image, after suppression within each class.
fn detect<N: DenseBackbone>(
    detector: &Detector<N>,
    frozen: Option<&N>,
    image: DetectorImage,
    boxes: &[BoundingBox],
    num_classes: usize,
    config: &DetectionConfig,
) -> Result<Vec<Found>, TransferError> {
    let (width, height, scale) = (image.width, image.height, image.scale);
    let maps = frozen.unwrap_or(&detector.network).maps(image.pixels);
    let mut by_class: Vec<Vec<(f32, BoundingBox)>> = vec![Vec::new(); num_classes];
    for boxes in boxes.chunks(REGION_BATCH) {
        let pooled = detector.pool(maps.clone(), boxes, scale);
        let (scores, transforms) = detector.forward(pooled, &Pass::inference());
        let (scores, transforms) =
            (host_values(activation::softmax(scores, 1), DURING)?, host_values(transforms, DURING)?);
        let scores = scores.chunks_exact(num_classes + 1);
        let transforms = transforms.chunks_exact(4 * (num_classes + 1));
        for ((bounds, scores), transforms) in boxes.iter().zip(scores).zip(transforms) {
            for (class, found) in by_class.iter_mut().enumerate() {
                let score = scores[class + 1];
                if f64::from(score) > config.min_score {
                    let start = 4 * (class + 1);
                    let transform = std::array::from_fn(|index| transforms[start + index]);
                    found.push((score, clip(decode(bounds, transform), width, height)));
                }
            }
        }
    }
    let mut all = Vec::new();
    for (class, mut found) in by_class.into_iter().enumerate() {
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        let bounds: Vec<BoundingBox> = found.iter().map(|(_, bounds)| *bounds).collect();
        let kept = non_maximum_suppression(&bounds, config.suppression_overlap as f32);
        all.extend(kept.into_iter().map(|index| Found {
            class,
            bounds: bounds[index],
            score: found[index].0,
        }));
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all.truncate(config.max_detections);
    Ok(all)
}
