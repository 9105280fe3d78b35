//! Detection by Fast R-CNN (Girshick, ICCV 2015) on a trained network (Caron et al., section 4.4, table 2).

mod boxes;
mod detector;
mod find_proposals;
mod region_sampling;
mod region_targets;
mod test_images;
mod training;

use std::path::Path;

use burn::module::Module;
use deepcluster_engine::Observer;
use deepcluster_models::DenseBackbone;
use deepcluster_trainer::TrainedNetwork;
use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};
use crate::fine_tuning::{FineTunedLayers, LossPoint, TaskSgd};
use crate::proposals::image_boxes::Proposals;
use crate::voc_classification::MeanAveragePrecision;
use crate::voc_dataset::VocDataset;

pub use boxes::non_maximum_suppression;
pub use find_proposals::{ProposalQuality, find_proposals};

/// Settings of a detector's training and test. The defaults are those of Fast R-CNN on VOC 2007.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectionConfig {
    /// Layers to train.
    pub layers: FineTunedLayers,
    /// 40,000 steps of 2 images; 0.001, a tenth of it after 30,000; weight decay 5e-4.
    pub sgd: TaskSgd,
    /// Length of the shorter side after resizing, in pixels, at least 32.
    pub short_side: u32,
    /// The most pixels of the longer side after that, at least `short_side`.
    pub long_side: u32,
    /// Regions of an image in a step, at least 1.
    pub regions_per_image: usize,
    /// The most of them that hold an object, as a share, in `(0, 1]`.
    pub foreground_share: f64,
    /// Overlap with an object from which a region holds it, in `(0, 1]`.
    pub foreground_overlap: f64,
    /// Least overlap with an object of a region of the background, below `foreground_overlap`; regions
    /// further away are taken only where there are no others.
    pub background_overlap: f64,
    /// Proposals of an image that are looked at, at least 1.
    pub max_proposals: usize,
    /// Least score of a detection, in `[0, 1)`.
    pub min_score: f64,
    /// Detections of a class that overlap a better one by more than this are dropped, in `(0, 1]`.
    pub suppression_overlap: f64,
    /// Detections of an image, all classes together, at least 1.
    pub max_detections: usize,
    /// The one seed of layers, order, mirrors and regions.
    pub seed: u64,
}

impl Default for DetectionConfig {
    fn default() -> Self {
        Self {
            layers: FineTunedLayers::All,
            sgd: TaskSgd {
                num_steps: 40_000,
                batch_size: 2,
                learning_rate: 0.001,
                decay_steps: 30_000,
                decay_factor: 0.1,
                momentum: 0.9,
                weight_decay: 5e-4,
                max_gradient_norm: None,
            },
            short_side: 600,
            long_side: 1000,
            regions_per_image: 64,
            foreground_share: 0.25,
            foreground_overlap: 0.5,
            background_overlap: 0.1,
            max_proposals: 2_000,
            min_score: 0.05,
            suppression_overlap: 0.3,
            max_detections: 100,
            seed: 31,
        }
    }
}

impl DetectionConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), TransferError> {
        self.sgd.validate()?;
        let share = |value: f64| value > 0.0 && value <= 1.0;
        check_settings([
            ("short_side", self.short_side.to_string(), (32..=4096).contains(&self.short_side), "32 to 4096"),
            (
                "long_side",
                self.long_side.to_string(),
                (self.short_side..=8192).contains(&self.long_side),
                "short_side to 8192",
            ),
            (
                "regions_per_image",
                self.regions_per_image.to_string(),
                self.regions_per_image > 0,
                "at least 1",
            ),
            (
                "foreground_share",
                self.foreground_share.to_string(),
                self.foreground_share > 0.0 && self.foreground_share <= 1.0,
                "more than 0, at most 1",
            ),
            (
                "foreground_overlap",
                self.foreground_overlap.to_string(),
                share(self.foreground_overlap),
                "more than 0, at most 1",
            ),
            (
                "background_overlap",
                self.background_overlap.to_string(),
                (0.0..self.foreground_overlap).contains(&self.background_overlap),
                "0 to below foreground_overlap",
            ),
            ("max_proposals", self.max_proposals.to_string(), self.max_proposals > 0, "at least 1"),
            ("min_score", self.min_score.to_string(), (0.0..1.0).contains(&self.min_score), "0 to below 1"),
            (
                "suppression_overlap",
                self.suppression_overlap.to_string(),
                share(self.suppression_overlap),
                "more than 0, at most 1",
            ),
            ("max_detections", self.max_detections.to_string(), self.max_detections > 0, "at least 1"),
        ])
    }
}

/// Scores of the detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectionResult {
    /// Average precision by the rules of VOC at an overlap of 0.5, on the test images that can be read.
    pub average_precision: MeanAveragePrecision,
    /// Number of test images that can be read.
    pub num_images: usize,
    /// Detections that were judged.
    pub num_detections: usize,
    /// Quality of the proposals of the test images.
    pub proposals: ProposalQuality,
    /// The loss curve: cross-entropy of the classes and smooth distance of the boxes, added.
    pub losses: Vec<LossPoint>,
}

/// Trains a detector on the training images of `data` and measures it on the test images, each with its
/// `proposals`. With a `state` file a stopped training is resumed.
///
/// # Errors
/// [`TransferError::InvalidConfig`], [`TransferError::NoProposals`] for an image without,
/// [`TransferError::Stopped`] on request of `observer`, [`TransferError::Diverged`],
/// [`TransferError::OtherTask`] and [`TransferError::Damaged`] for a `state` that cannot be resumed,
/// [`TransferError::Device`], [`TransferError::Evaluation`].
pub fn detect_voc<N: DenseBackbone>(
    trained: &TrainedNetwork<N>,
    data: &VocDataset,
    proposals: &Proposals,
    config: &DetectionConfig,
    state: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<DetectionResult, TransferError> {
    config.validate()?;
    for images in [&data.train, &data.test] {
        if let Some(name) = images.names.iter().find(|name| !proposals.contains_key(*name)) {
            return Err(TransferError::NoProposals { image: name.clone() });
        }
    }
    let training::TrainedDetector { detector, frozen, losses } =
        training::train(trained, data, proposals, config, state, observer)?;
    let tested =
        test_images::test(&detector.valid(), frozen.as_ref(), trained, data, proposals, config, observer)?;
    Ok(DetectionResult {
        average_precision: tested.average_precision,
        num_images: tested.num_images,
        num_detections: tested.num_detections,
        proposals: ProposalQuality::measure(&data.test, proposals, config.max_proposals),
        losses,
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use deepcluster_evaluation::BoundingBox;
    use deepcluster_models::{Architecture, ConvNetConfig};
    use deepcluster_trainer::TrainConfig;

    use super::*;
    use crate::voc_dataset::tests::bars;

    /// Squares of three sizes everywhere in an image.
    fn windows(side: usize) -> Vec<BoundingBox> {
        let places = [20, 25, 30].into_iter().flat_map(|size| {
            let starts = move || (0..=side - size).step_by(5);
            starts().flat_map(move |left| starts().map(move |top| (left as f32, top as f32, size as f32)))
        });
        places
            .map(|(x_min, y_min, size)| BoundingBox {
                x_min,
                y_min,
                x_max: x_min + size,
                y_max: y_min + size,
            })
            .collect()
    }

    #[test]
    fn bars_are_found_and_a_stop_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        bars(root.path(), 24, 64);
        let data = VocDataset::open(root.path(), "train", "test").unwrap();
        let windows = windows(64);
        let names = data.train.names.iter().chain(&data.test.names);
        let proposals: Proposals = names.map(|name| (name.clone(), windows.clone())).collect();
        let device = Device::flex();
        let network = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
        let network = network.init(1, &device).unwrap();
        let mut settings = TrainConfig::default();
        settings.images.size = 32;
        let trained = TrainedNetwork::from_network(settings, network, &device);
        let run = |num_steps, state: Option<&Path>, layers| {
            let mut config =
                DetectionConfig { short_side: 64, regions_per_image: 32, layers, ..Default::default() };
            config.sgd.num_steps = num_steps;
            config.sgd.learning_rate = 0.01;
            detect_voc(&trained, &data, &proposals, &config, state, &mut ()).unwrap()
        };
        let result = run(150, None, FineTunedLayers::All);
        assert!(result.proposals.recall.unwrap() > 0.9, "{:?}", result.proposals);
        assert!(result.average_precision.area > 0.7, "{:?}", result.average_precision);
        assert_eq!(result.num_images, 24);
        let state = root.path().join("state.safetensors");
        run(20, Some(&state), FineTunedLayers::All);
        assert_eq!(run(150, Some(&state), FineTunedLayers::All), result);
        // The test may change, the training may not.
        let mut config = DetectionConfig {
            short_side: 64,
            regions_per_image: 32,
            max_detections: 1,
            ..Default::default()
        };
        (config.sgd.num_steps, config.sgd.learning_rate) = (150, 0.01);
        let again =
            |config: &DetectionConfig| detect_voc(&trained, &data, &proposals, config, Some(&state), &mut ());
        assert!(again(&config).unwrap().num_detections <= 24);
        config.regions_per_image = 16;
        let error = again(&config).unwrap_err().to_string();
        assert!(error.contains("regions_per_image is 32, not 16"), "{error}");
        let frozen = run(100, None, FineTunedLayers::FullyConnected);
        assert!(frozen.average_precision.area > 0.3, "{:?}", frozen.average_precision);
    }

    #[test]
    fn impossible_input_is_refused_by_name() {
        let default = DetectionConfig::default;
        let refused = |config: DetectionConfig| config.validate().unwrap_err().to_string();
        assert!(refused(DetectionConfig { short_side: 1, ..default() }).starts_with("short_side = 1"));
        assert!(refused(DetectionConfig { long_side: 500, ..default() }).starts_with("long_side = 500"));
        assert!(
            refused(DetectionConfig { background_overlap: 0.5, ..default() }).contains("background_overlap")
        );
        assert!(refused(DetectionConfig { min_score: f64::NAN, ..default() }).contains("min_score"));
        default().validate().unwrap();
    }
}
