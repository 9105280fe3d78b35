//! Linear support vector machines on frozen layers.

use burn::tensor::Device;
use deepcluster_engine::{ImageReading, Observer};
use deepcluster_evaluation::{EvaluationError, classification_curve, normalized_rows};
use deepcluster_models::Backbone;
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::average_precision::MeanAveragePrecision;
use super::svm::LinearSvm;
use crate::error::{TransferError, check_settings};
use crate::layer_features::{LayerFeatures, layer_features};
use crate::task_seeds::TaskSeeds;
use crate::voc_dataset::{VocDataset, VocImages};

/// Settings of linear machines: the protocol of VISSL and OpenSelfSup (Goyal et al., ICCV 2019), features of
/// length 1, the cost chosen for each class by average precision in cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SvmConfig {
    /// Costs to choose from, each more than 0.
    pub costs: Vec<f64>,
    /// Parts of the training images for cross-validation, at least 2.
    pub num_folds: usize,
    /// Weight of a training image of the class relative to the others, more than 0.
    pub positive_weight: f64,
    /// Names of the layers; all where empty.
    pub layers: Vec<String>,
    /// The one seed of the order in which images are visited.
    pub seed: u64,
}

impl Default for SvmConfig {
    fn default() -> Self {
        Self {
            costs: vec![0.01, 0.1, 1.0, 10.0, 100.0],
            num_folds: 3,
            positive_weight: 2.0,
            layers: Vec::new(),
            seed: 31,
        }
    }
}

impl SvmConfig {
    /// Checks every field but the names of the layers.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), TransferError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let (costs, weight) = (&self.costs, self.positive_weight);
        let has_costs = !costs.is_empty() && costs.iter().copied().all(positive);
        check_settings([
            ("costs", format!("{costs:?}"), has_costs, "one or more, each more than 0"),
            ("num_folds", self.num_folds.to_string(), self.num_folds >= 2, "at least 2"),
            ("positive_weight", weight.to_string(), positive(weight), "more than 0"),
        ])
    }
}

/// Scores of the machines on a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSvm {
    /// Name of the layer.
    pub layer: String,
    /// Values of the pooled layer.
    pub num_values: usize,
    /// Average precision on the test images that can be read.
    pub average_precision: MeanAveragePrecision,
    /// The cost chosen for each class.
    pub costs: Vec<f64>,
}

/// Trains a machine for each class on each of the frozen layers and measures it on the test images. `reading`
/// is that of the network's run.
///
/// # Errors
/// [`TransferError::InvalidConfig`], [`TransferError::UnknownLayer`], [`TransferError::Stopped`] on request
/// of `observer`, [`TransferError::Device`], [`TransferError::Evaluation`].
pub fn svm_on_layers<B: Backbone>(
    network: &B,
    reading: &ImageReading,
    device: &Device,
    data: &VocDataset,
    config: &SvmConfig,
    observer: &mut dyn Observer,
) -> Result<Vec<LayerSvm>, TransferError> {
    config.validate()?;
    let num_classes = data.class_names.len();
    let mut read = |set: &VocImages| {
        let all: Vec<usize> = (0..set.images.len()).collect();
        layer_features(network, reading, device, &set.images, &all, &config.layers, observer)
    };
    let (train, test) = (read(&data.train)?, read(&data.test)?);
    let read_labels = |set: &VocImages, features: &LayerFeatures| {
        let all = set.labels(num_classes);
        features.image_indices.iter().map(|&image| all[image].clone()).collect::<Vec<_>>()
    };
    let (train_labels, test_labels) = (read_labels(&data.train, &train), read_labels(&data.test, &test));
    let mut layers = Vec::with_capacity(train.layers.len());
    for (index, name) in train.names.iter().enumerate() {
        let (train, test) =
            (normalized_rows(train.layers[index].view()), normalized_rows(test.layers[index].view()));
        let classify = |class: usize| {
            let labels: Vec<Option<bool>> = train_labels.iter().map(|row| row[class]).collect();
            let seed = TaskSeeds::new(config.seed).linear_machine(class);
            let (svm, cost) = best_machine(train.view(), &labels, config, seed)?;
            let scores: Vec<f32> = test.rows().into_iter().map(|row| svm.score(row) as f32).collect();
            Ok::<_, TransferError>((scores, cost))
        };
        let found: Vec<(Vec<f32>, f64)> =
            (0..num_classes).into_par_iter().map(classify).collect::<Result<_, _>>()?;
        let scores: Vec<Vec<f32>> =
            (0..test.nrows()).map(|row| found.iter().map(|(scores, _)| scores[row]).collect()).collect();
        layers.push(LayerSvm {
            layer: name.clone(),
            num_values: train.ncols(),
            average_precision: MeanAveragePrecision::from_scores(&data.class_names, &scores, &test_labels)?,
            costs: found.iter().map(|(_, cost)| *cost).collect(),
        });
    }
    Ok(layers)
}

/// The machine of the cost with the best mean average precision over the folds, trained on all samples.
fn best_machine(
    samples: ArrayView2<'_, f32>,
    labels: &[Option<bool>],
    config: &SvmConfig,
    seed: u64,
) -> Result<(LinearSvm, f64), TransferError> {
    let fit = |rows: &[usize], cost: f64| {
        let is_positive: Vec<bool> = rows.iter().map(|&row| labels[row] == Some(true)).collect();
        LinearSvm::fit(samples, rows, &is_positive, cost, config.positive_weight, seed)
    };
    let counted: Vec<usize> = (0..labels.len()).filter(|&row| labels[row].is_some()).collect();
    let mut best = (config.costs[0], f64::NEG_INFINITY);
    if config.costs.len() > 1 {
        // Folds hold equal shares of the class, which may be rare.
        let mut fold_of = vec![0; labels.len()];
        for wanted in [true, false] {
            let rows = counted.iter().filter(|&&row| labels[row] == Some(wanted));
            rows.enumerate().for_each(|(index, &row)| fold_of[row] = index % config.num_folds);
        }
        for &cost in &config.costs {
            let mut sum = 0.0;
            for fold in 0..config.num_folds {
                let (held_out, rows): (Vec<usize>, Vec<usize>) =
                    counted.iter().partition(|&&row| fold_of[row] == fold);
                let svm = fit(&rows, cost);
                let scores: Vec<f32> =
                    held_out.iter().map(|&row| svm.score(samples.row(row)) as f32).collect();
                let fold_labels: Vec<Option<bool>> = held_out.iter().map(|&row| labels[row]).collect();
                match classification_curve(&scores, &fold_labels) {
                    Ok(curve) => sum += curve.step_area(),
                    // Too few images of the class for this fold to have one.
                    Err(EvaluationError::NoPositives) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if sum > best.1 {
                best = (cost, sum);
            }
        }
    }
    Ok((fit(&counted, best.0), best.0))
}

#[cfg(test)]
mod tests {
    use deepcluster_models::{Architecture, ConvNetConfig};

    use deepcluster_trainer::TrainConfig;

    use super::*;
    use crate::voc_dataset::tests::bars;

    #[test]
    fn machines_tell_bars_apart_on_every_layer_asked_for() {
        let root = tempfile::tempdir().unwrap();
        bars(root.path(), 24, 32);
        let data = VocDataset::open(root.path(), "train", "test").unwrap();
        let device = Device::flex();
        let network = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
        let network = network.init(1, &device).unwrap();
        let mut settings = TrainConfig::default();
        settings.images.size = 32;
        let config = SvmConfig { layers: vec!["conv1".into(), "fc7".into()], ..Default::default() };
        let layers = svm_on_layers(&network, &settings.reading(), &device, &data, &config, &mut ()).unwrap();
        assert_eq!((layers[0].layer.as_str(), layers[1].layer.as_str()), ("conv1", "fc7"));
        assert_eq!(layers[0].costs.len(), 2);
        assert!(layers[0].average_precision.area > 0.9, "{:?}", layers[0]);
        let refused = |config: SvmConfig| {
            svm_on_layers(&network, &settings.reading(), &device, &data, &config, &mut ())
                .unwrap_err()
                .to_string()
        };
        assert!(refused(SvmConfig { costs: vec![], ..Default::default() }).starts_with("costs = []"));
        assert!(refused(SvmConfig { layers: vec!["x".into()], ..Default::default() }).contains("'x'"));
    }
}
