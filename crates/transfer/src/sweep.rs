//! How many clusters: runs that differ in their number alone, each with a score on a task (Caron et al.,
//! figure 2c).

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deepcluster_data::ImageFolder;
use deepcluster_evaluation::WeightedKnnConfig;
use deepcluster_files::Replaceable;
use deepcluster_models::{NamedWeights, Network};
use deepcluster_plots::{LineChart, Scale, Series};
use deepcluster_trainer::{RunDirectory, TrainConfig, TrainObserver, TrainedNetwork, begin_run, resume_run};
use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};
use crate::files::{cell, write_table_and_charts, write_whole};
use crate::fine_tuning::fingerprint;
use crate::knn_of_layers::knn_of_layers;
use crate::labelled_folder::{LabelledFolder, LabelledPair};
use crate::linear_probe::{LinearProbe, LinearProbeConfig};
use crate::voc_classification::{VocClassificationConfig, classify_voc};
use crate::voc_dataset::VocDataset;

/// The task that runs are compared by.
#[derive(Debug, Clone)]
pub enum SweepTask {
    /// Nearest neighbours on each layer: top-1 accuracy.
    Knn(LabelledPair, WeightedKnnConfig),
    /// Linear classifiers on each convolution: top-1 accuracy of the last epoch.
    Linear(LabelledPair, LinearProbeConfig),
    /// Classification of PASCAL VOC, as in the paper: 11-point mean average precision.
    VocClassification(VocDataset, VocClassificationConfig),
}

impl SweepTask {
    /// Name of the score.
    fn score_name(&self) -> &'static str {
        match self {
            Self::Knn(..) => "top-1 accuracy of nearest neighbours",
            Self::Linear(..) => "top-1 accuracy of linear classifiers",
            Self::VocClassification(..) => "11-point mean average precision on VOC",
        }
    }

    /// Text that identifies the task: its settings and its data.
    fn described(&self) -> String {
        let pair = |data: &LabelledPair| {
            let images = [&data.train, &data.test].into_iter().flat_map(LabelledFolder::described);
            images.collect::<Vec<Vec<u8>>>()
        };
        let (settings, images) = match self {
            Self::Knn(data, config) => (format!("{config:?}"), pair(data)),
            Self::Linear(data, config) => (format!("{config:?}"), pair(data)),
            Self::VocClassification(data, config) => {
                let names = data.train.fingerprint_names().chain(data.test.fingerprint_names());
                (format!("{config:?}"), names.map(<[u8]>::to_vec).collect())
            }
        };
        let sum = fingerprint(&NamedWeights::new(), images.iter().map(Vec::as_slice));
        format!("{settings} images {sum:08x}")
    }

    /// Scores by layer. With a `state` file a task that was stopped goes on.
    fn scores(
        &self,
        network: &TrainedNetwork<Network>,
        device: &Device,
        state: &Path,
        observer: &mut dyn TrainObserver,
    ) -> Result<Vec<(String, f64)>, TransferError> {
        let (net, reading) = (network.network(), network.reading());
        match self {
            Self::Knn(data, config) => {
                let layers = knn_of_layers(net, &reading, device, data, &[], config, observer)?;
                let best =
                    layers.into_iter().filter_map(|knn| Some((knn.layer, knn.accuracies.first()?.top1)));
                Ok(best.collect())
            }
            Self::Linear(data, config) => {
                let probe = LinearProbe::new(net, &reading, device, data, config.clone())?;
                let curves = probe.run(Some(state), observer)?;
                Ok(curves
                    .into_iter()
                    .filter_map(|curve| Some((curve.layer.clone(), curve.last()?.top1)))
                    .collect())
            }
            Self::VocClassification(data, config) => {
                let network = network.convnet("fine-tuning on PASCAL VOC")?;
                let found = classify_voc(&network, data, config, Some(state), observer)?;
                Ok(vec![(config.layers.name().to_string(), found.average_precision.eleven_point)])
            }
        }
    }
}

/// Runs that differ in their number of clusters alone.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// All other settings.
    pub base: TrainConfig,
    /// Numbers of clusters, one or more.
    pub clusters: Vec<usize>,
    /// The task that runs are compared by.
    pub task: SweepTask,
}

/// Scores of a run with one number of clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Clusters asked for.
    pub num_clusters: usize,
    /// NMI (arithmetic) of the last clusters to the labels of the training images, where they have any.
    pub nmi_to_labels: Option<f64>,
    /// NMI of the last clusters to those before.
    pub nmi_to_previous: Option<f64>,
    /// Loss of the last epoch, in nats.
    pub loss: Option<f64>,
    /// Scores on the task, by layer.
    pub scores: Vec<(String, f64)>,
}

/// Name of the table of a sweep in its folder.
pub const SWEEP_TABLE: &str = "sweep.csv";

/// A finished point and what it was measured by.
#[derive(Serialize, Deserialize)]
struct SavedPoint {
    task: String,
    point: SweepPoint,
}

/// Trains a run for each number of clusters, in a folder `k-NUMBER` of `out`, and scores each on the task.
/// Runs and scores that are there already are not made again, and a run that was stopped goes on. Every point
/// is given to `finished` as soon as it is known.
///
/// # Errors
/// [`TransferError::InvalidConfig`] for no numbers, and what trainer and task report.
pub fn sweep_clusters(
    images: &ImageFolder,
    sweep: &Sweep,
    out: &Path,
    device: &Device,
    observer: &mut dyn TrainObserver,
    mut finished: impl FnMut(&SweepPoint),
) -> Result<Vec<SweepPoint>, TransferError> {
    let Sweep { base, clusters, task } = sweep;
    check_settings([("clusters", format!("{clusters:?}"), !clusters.is_empty(), "one or more numbers")])?;
    let mut points = Vec::with_capacity(clusters.len());
    for &num_clusters in clusters {
        let folder = out.join(format!("k-{num_clusters}"));
        let mut config = base.clone();
        config.clustering.num_clusters = Some(num_clusters);
        let point = point(images, config, task, &folder, device, observer)?;
        finished(&point);
        points.push(point);
    }
    Ok(points)
}

fn point(
    images: &ImageFolder,
    config: TrainConfig,
    task: &SweepTask,
    folder: &Path,
    device: &Device,
    observer: &mut dyn TrainObserver,
) -> Result<SweepPoint, TransferError> {
    let num_clusters = config.num_clusters(images.len());
    let devices = std::slice::from_ref(device);
    if folder.exists() {
        // Settings that differ from those of the run are refused here, also where nothing is left to do.
        let run = resume_run(folder, devices, |saved| {
            *saved = config;
            Ok(())
        })?;
        if !run.is_finished() {
            run.run(observer)?;
        }
    } else {
        begin_run(config, images.clone(), folder, devices)?.run(observer)?;
    }
    let run = RunDirectory::open(folder)?;
    let epochs = run.metrics()?;
    let last = epochs.last();
    let described = format!("{} {} epochs", task.described(), epochs.len());
    let saved = run.file("sweep.json");
    if let Ok(bytes) = std::fs::read(&saved)
        && let Ok(SavedPoint { task, point }) = serde_json::from_slice(&bytes)
        && task == described
    {
        return Ok(point);
    }
    let network = TrainedNetwork::load(&run, device)?;
    let state = run.file("sweep-state.safetensors");
    let scores = task.scores(&network, device, &state, observer)?;
    let point = SweepPoint {
        num_clusters,
        nmi_to_labels: last.and_then(|epoch| epoch.labels.as_ref()).map(|labels| labels.nmi_arithmetic),
        nmi_to_previous: last.and_then(|epoch| epoch.nmi_to_previous),
        loss: epochs.iter().rev().find_map(|epoch| epoch.loss),
        scores,
    };
    let text = serde_json::to_vec_pretty(&SavedPoint { task: described, point: point.clone() });
    write_whole(&saved, &text.map_err(|error| TransferError::io("write", &saved)(error.into()))?)?;
    if state.exists() {
        std::fs::remove_file(&state).map_err(TransferError::io("remove", &state))?;
    }
    Ok(point)
}

/// Charts over the numbers of clusters: the scores by layer, and the agreement with labels where there are
/// any.
pub fn sweep_charts(points: &[SweepPoint], task: &SweepTask) -> Vec<(&'static str, LineChart)> {
    let place = |point: &SweepPoint| point.num_clusters as f64;
    let layers: Vec<String> = points
        .first()
        .map(|point| point.scores.iter().map(|(layer, _)| layer.clone()).collect())
        .unwrap_or_default();
    let of_layer = |layer: &String| {
        let score =
            |point: &SweepPoint| point.scores.iter().find(|(name, _)| name == layer).map(|(_, score)| *score);
        Series {
            name: layer.clone(),
            points: points.iter().filter_map(|point| Some((place(point), score(point)?))).collect(),
        }
    };
    let chart = |title: &str, y_label: &str, series: Vec<Series>| LineChart {
        title: title.to_string(),
        x_label: "clusters".to_string(),
        y_label: y_label.to_string(),
        x_scale: Scale::Log10,
        series,
    };
    let scores = layers.iter().map(of_layer).collect();
    let mut charts = vec![("sweep-score", chart("Score by number of clusters", task.score_name(), scores))];
    let agreement: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((place(point), point.nmi_to_labels?))).collect();
    if !agreement.is_empty() {
        let series = vec![Series { name: "NMI".to_string(), points: agreement }];
        let title = "Agreement of clusters and labels by number of clusters";
        charts.push(("sweep-nmi", chart(title, "NMI(clusters, labels)", series)));
    }
    charts
}

/// Writes [`sweep_charts`] to a folder as SVG and PNG, and `sweep.csv` with a row for each number of clusters
/// (`clusters`, `nmi_to_labels`, `nmi_to_previous`, `loss`, and a column for each layer's score), in place of
/// files that `replaceable` allows to replace. Gives the files.
///
/// # Errors
/// [`TransferError::Io`], [`TransferError::Plot`].
pub fn write_sweep(
    points: &[SweepPoint],
    task: &SweepTask,
    folder: &Path,
    replaceable: Replaceable,
) -> Result<Vec<PathBuf>, TransferError> {
    let layers = points.first().map(|point| point.scores.iter().map(|(layer, _)| layer.clone()));
    let header = ["clusters", "nmi_to_labels", "nmi_to_previous", "loss"].map(str::to_string);
    let mut rows = vec![header.into_iter().chain(layers.into_iter().flatten()).collect()];
    for point in points {
        let numbers = [point.nmi_to_labels, point.nmi_to_previous, point.loss].map(cell);
        let scores = point.scores.iter().map(|(_, score)| score.to_string());
        rows.push(std::iter::once(point.num_clusters.to_string()).chain(numbers).chain(scores).collect());
    }
    write_table_and_charts(folder, replaceable, SWEEP_TABLE, &rows, &sweep_charts(points, task))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use deepcluster_data::{LabelSource, SyntheticConfig, write_synthetic_folder};

    use super::*;

    #[test]
    fn every_number_has_a_run_and_a_score_once() {
        let root = tempfile::tempdir().unwrap();
        let images = root.path().join("images");
        let drawings = SyntheticConfig { num_images: 80, image_size: 32, seed: 1 };
        write_synthetic_folder(&images, &drawings, &mut |_| {}).unwrap();
        let data = LabelledPair::scan(&images, &images, &LabelSource::Auto).unwrap();
        let config = WeightedKnnConfig { num_neighbors: vec![5], temperature: 0.07 };
        let task = SweepTask::Knn(data, config);
        let mut base = TrainConfig::default();
        base.data.image_size = 32;
        base.model.width = 0.125;
        base.training.epochs = 1;
        base.training.batch_size = 16;
        let folder = ImageFolder::open(&images).unwrap();
        let out = root.path().join("out");
        let mut num_finished = 0;
        let mut run = |clusters: &[usize]| {
            let mut count = |_: &SweepPoint| num_finished += 1;
            let sweep = Sweep { base: base.clone(), clusters: clusters.to_vec(), task: task.clone() };
            sweep_clusters(&folder, &sweep, &out, &Device::flex(), &mut (), &mut count)
        };
        let points = run(&[4, 8]).unwrap();
        assert_eq!((points[0].num_clusters, points[1].num_clusters), (4, 8));
        assert_eq!(points[0].scores.last().unwrap().0, "fc7");
        assert!(points.iter().all(|point| point.nmi_to_labels.is_some() && point.loss.is_some()));
        let again = run(&[4, 8, 2]).unwrap();
        assert_eq!(again[..2], points);
        assert!(run(&[]).unwrap_err().to_string().starts_with("clusters = []"));
        assert_eq!(num_finished, 5);
        let files = write_sweep(&points, &task, &out, Replaceable::Own).unwrap();
        assert_eq!(files.len(), 5);
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(text.starts_with("clusters,nmi_to_labels,nmi_to_previous,loss,conv1,"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }
}
