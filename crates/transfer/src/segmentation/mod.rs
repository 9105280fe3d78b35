//! Segmentation by a fully convolutional network (Long, Shelhamer & Darrell, CVPR 2015) on a trained one
//! (Caron et al., section 4.4, table 2).

mod dataset;
mod segmenter;
mod upsampling;

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use deepcluster_data::{DEFAULT_MAX_PIXELS, LabelMap, Normalization, normalized_image, resize_labels};
use deepcluster_engine::{Event, Observer, Phase};
use deepcluster_evaluation::PixelConfusion;
use deepcluster_models::{DenseBackbone, Pass, export_weights};
use deepcluster_trainer::TrainedNetwork;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};
use crate::fine_tuning::{FineTunedLayers, LossPoint, TaskRecord, TaskSgd, Trunk, fine_tune, shuffled_steps};
use crate::task_identity::{TaskIdentity, TaskSettings, fingerprint};
use crate::task_seeds::TaskSeeds;
use segmenter::Segmenter;

pub use dataset::SegmentationDataset;

/// Settings of fine-tuning to segmentation. Step sizes are those of the AlexNet of the fully
/// convolutional networks: batches of 20, 0.001, momentum 0.9, weight decay 5e-4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentationConfig {
    /// Layers to train.
    pub layers: FineTunedLayers,
    /// 13,000 steps of 20 images, about 175 passes over the training images of VOC 2012.
    pub sgd: TaskSgd,
    /// Limit of the longer side in pixels, at least 32; larger images are resized to it.
    pub long_side: u32,
    /// The one seed of layers, order and mirrors.
    pub seed: u64,
}

impl Default for SegmentationConfig {
    fn default() -> Self {
        Self {
            layers: FineTunedLayers::All,
            sgd: TaskSgd {
                num_steps: 13_000,
                batch_size: 20,
                learning_rate: 0.001,
                decay_steps: 10_000,
                decay_factor: 0.1,
                momentum: 0.9,
                weight_decay: 5e-4,
                max_gradient_norm: None,
            },
            long_side: 500,
            seed: 31,
        }
    }
}

impl SegmentationConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), TransferError> {
        self.sgd.validate()?;
        let is_sound = (32..=8192).contains(&self.long_side);
        check_settings([("long_side", self.long_side.to_string(), is_sound, "32 to 8192")])
    }
}

/// Scores of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentationResult {
    /// Mean over the classes of intersection over union, the measure of VOC.
    pub mean_overlap: f64,
    /// Mean overlap if every pixel got the most frequent class.
    pub majority_overlap: f64,
    /// Share of the pixels that get their class.
    pub pixel_accuracy: f64,
    /// Every class, with its overlap; `None` where it occurs neither in truth nor in prediction.
    pub classes: Vec<(String, Option<f64>)>,
    /// Test images that can be read.
    pub num_images: usize,
    /// The loss curve: mean cross-entropy of a pixel, in nats.
    pub losses: Vec<LossPoint>,
}

/// Fine-tunes a network on the training images of `data` and measures it on the test images; void pixels do
/// not count. With a `state` file a stopped training is resumed.
///
/// # Errors
/// [`TransferError::InvalidConfig`], [`TransferError::Stopped`] on request of `observer`,
/// [`TransferError::Diverged`], [`TransferError::OtherTask`] and [`TransferError::Damaged`] for a `state`
/// that cannot be resumed, [`TransferError::Device`], [`TransferError::Data`] and
/// [`TransferError::MaskMismatch`] for a mask that cannot be used.
pub fn segment_voc<N: DenseBackbone>(
    trained: &TrainedNetwork<N>,
    data: &SegmentationDataset,
    config: &SegmentationConfig,
    state: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<SegmentationResult, TransferError> {
    config.validate()?;
    let (network, device) = (trained.network(), trained.device());
    let tracking = device.clone().autodiff();
    let seeds = TaskSeeds::new(config.seed);
    let Trunk { network: learning, frozen } = Trunk::new(network, config.layers, false, seeds);
    let segmenter = Segmenter::new(learning, data.class_names.len(), &tracking);
    let names = data.class_names.iter().chain(&data.train).map(|name| name.as_bytes());
    // A resumed training may have more steps.
    let settings = TaskSettings::new(config, &["sgd.num_steps"]);
    let identity = TaskIdentity::new(settings, fingerprint(&export_weights(network)?, names));
    let record = TaskRecord { state, identity };
    let normalization = trained.reading().normalization();
    let num_images = data.train.len();
    let mut steps = None;
    let step_loss = |segmenter: &Segmenter<N>, step: usize| {
        let steps = steps.get_or_insert_with(|| shuffled_steps(num_images, &config.sgd, seeds, step));
        let images = steps.next().unwrap_or_default();
        let mut losses = Vec::with_capacity(images.len());
        for (position, index) in images.into_iter().enumerate() {
            let mirror = ChaCha8Rng::seed_from_u64(seeds.augmentation(step, position)).random();
            let Some(input) = Example::read(data, &data.train[index], config, mirror, normalization)? else {
                continue;
            };
            let dropout = Pass::training(seeds.dropout(step, position));
            let (pixels, mask) = input.on(device);
            let size = (mask.height as usize, mask.width as usize);
            let scores = segmenter.forward(pixels, frozen.as_ref(), size, &dropout);
            losses.extend(pixel_loss(scores, &mask, data.void));
        }
        let num_losses = losses.len();
        Ok(losses.into_iter().reduce(|sum, loss| sum + loss).map(|sum| sum / num_losses as f64))
    };
    let (segmenter, losses) = fine_tune(segmenter, &config.sgd, &record, observer, step_loss)?;
    let (confusion, num_images) =
        test(&segmenter.valid(), frozen.as_ref(), device, data, config, normalization, observer)?;
    let overlaps = confusion.class_overlaps();
    Ok(SegmentationResult {
        mean_overlap: confusion.mean_overlap(),
        majority_overlap: confusion.majority_overlap(),
        pixel_accuracy: confusion.pixel_accuracy(),
        classes: data.class_names.iter().cloned().zip(overlaps).collect(),
        num_images,
        losses,
    })
}

/// An image and the class of its pixels, at the size of the network's input.
struct Example {
    values: Vec<f32>,
    shape: [usize; 4],
    mask: LabelMap,
}

impl Example {
    /// `None` where the image cannot be read, which is logged.
    fn read(
        data: &SegmentationDataset,
        name: &str,
        config: &SegmentationConfig,
        mirror: bool,
        normalization: Normalization,
    ) -> Result<Option<Self>, TransferError> {
        let image = match data.folder.image(name, DEFAULT_MAX_PIXELS) {
            Ok(image) => image,
            Err(error) => {
                log::warn!("left out: {error}");
                return Ok(None);
            }
        };
        let mask = data.mask(name)?;
        if (mask.width, mask.height) != (image.width, image.height) {
            let (image_size, mask_size) = ((image.width, image.height), (mask.width, mask.height));
            return Err(TransferError::MaskMismatch { image: name.to_string(), image_size, mask_size });
        }
        let scale = (config.long_side as f32 / image.width.max(image.height) as f32).min(1.0);
        let side = |length: u32| ((length as f32 * scale).round() as u32).max(1);
        let (width, height) = (side(image.width), side(image.height));
        let resized = normalized_image(&image, width, height, mirror, normalization)?;
        let shape = [1, 3, height as usize, width as usize];
        Ok(Some(Self {
            values: resized.values,
            shape,
            mask: resize_labels(&mask, mask.width, mask.height, mirror),
        }))
    }

    /// The image `[1, 3, height, width]` on a device, and its mask.
    fn on(self, device: &Device) -> (Tensor<4>, LabelMap) {
        (Tensor::from_data(TensorData::new(self.values, self.shape), device), self.mask)
    }
}

/// Mean cross-entropy of the pixels that count, of scores `[classes, height, width]`; `None` where there are
/// none.
fn pixel_loss(scores: Tensor<3>, mask: &LabelMap, void: u8) -> Option<Tensor<1>> {
    let [num_classes, height, width] = scores.dims();
    let (device, num_pixels) = (scores.device(), height * width);
    let counted = mask.labels.iter().filter(|&&label| label != void).count();
    if counted == 0 {
        return None;
    }
    let rows: Tensor<2> = scores.reshape([num_classes, num_pixels]);
    let logarithms = activation::log_softmax(rows, 0);
    let targets: Vec<i64> =
        mask.labels.iter().map(|&label| if label == void { 0 } else { i64::from(label) }).collect();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [1, num_pixels]), &device);
    let counts: Vec<f32> = mask.labels.iter().map(|&label| f32::from(label != void)).collect();
    let counts = Tensor::<2>::from_data(TensorData::new(counts, [1, num_pixels]), &device);
    Some((logarithms.gather(0, targets) * counts).sum().neg() / counted as f64)
}

/// The classes of all pixels of the test images against the true ones, and how many images can be read.
fn test<N: DenseBackbone>(
    segmenter: &Segmenter<N>,
    frozen: Option<&N>,
    device: &Device,
    data: &SegmentationDataset,
    config: &SegmentationConfig,
    normalization: Normalization,
    observer: &mut dyn Observer,
) -> Result<(PixelConfusion, usize), TransferError> {
    let total = data.test.len();
    observer.event(&Event::Started { phase: Phase::images("testing"), epoch: None, total });
    let mut confusion = PixelConfusion::new(data.class_names.len());
    let mut num_images = 0;
    for (index, name) in data.test.iter().enumerate() {
        if observer.should_stop() {
            return Err(TransferError::Stopped);
        }
        if let Some(input) = Example::read(data, name, config, false, normalization)? {
            let (pixels, mask) = input.on(device);
            let size = (mask.height as usize, mask.width as usize);
            let scores = segmenter.forward_inference(pixels, frozen, size);
            let classes = scores.argmax(0).try_into_data();
            let classes = classes.map_err(|error| TransferError::device("while segmenting", error))?;
            let predicted: Vec<u8> = classes.iter::<i64>().map(|class| class as u8).collect();
            confusion.add(&predicted, &mask.labels, Some(data.void))?;
            num_images += 1;
        }
        observer.event(&Event::Progress { done: index + 1, loss: None });
    }
    Ok((confusion, num_images))
}

#[cfg(test)]
mod tests {
    use deepcluster_models::{Architecture, ConvNetConfig};
    use deepcluster_trainer::TrainConfig;

    use super::*;
    use crate::voc_dataset::tests::bars;

    #[test]
    fn the_loss_by_hand_and_void_pixels_do_not_count() {
        let scores = Tensor::<3>::from_data([[[1.0, 50.0]], [[0.0, 0.0]]], &Device::flex());
        let mask = LabelMap { width: 2, height: 1, labels: vec![1, 255] };
        let loss: f32 = pixel_loss(scores.clone(), &mask, 255).unwrap().into_scalar();
        assert!((loss - (1.0 + 1.0_f32.exp()).ln()).abs() < 1e-6, "{loss}");
        let void = LabelMap { labels: vec![255; 2], ..mask };
        assert!(pixel_loss(scores, &void, 255).is_none());
    }

    #[test]
    fn bars_are_segmented_and_a_stop_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        bars(root.path(), 24, 64);
        let data = SegmentationDataset::open(root.path(), "train", "test", 255).unwrap();
        let device = Device::flex();
        let network = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
        let network = network.init(1, &device).unwrap();
        let trained = TrainedNetwork::from_network(TrainConfig::default(), network, &device);
        let run = |num_steps, state: Option<&Path>, layers| {
            let mut config = SegmentationConfig { layers, ..Default::default() };
            (config.sgd.num_steps, config.sgd.batch_size, config.sgd.learning_rate) = (num_steps, 4, 0.02);
            segment_voc(&trained, &data, &config, state, &mut ()).unwrap()
        };
        let result = run(200, None, FineTunedLayers::All);
        assert!(result.mean_overlap > 1.8 * result.majority_overlap, "{result:?}");
        assert_eq!((result.num_images, result.classes.len()), (24, 3));
        let state = root.path().join("state.safetensors");
        run(9, Some(&state), FineTunedLayers::All);
        let resumed = run(30, Some(&state), FineTunedLayers::All);
        assert_eq!(resumed, run(30, None, FineTunedLayers::All));
        let mut other = SegmentationConfig { long_side: 320, ..Default::default() };
        (other.sgd.batch_size, other.sgd.learning_rate) = (4, 0.02);
        let error = segment_voc(&trained, &data, &other, Some(&state), &mut ()).unwrap_err().to_string();
        assert!(error.contains("another task (its long_side is 500, not 320)"), "{error}");
        let frozen = run(200, None, FineTunedLayers::FullyConnected);
        assert!(frozen.mean_overlap > 1.2 * frozen.majority_overlap, "{frozen:?}");
    }
}
