//! Runs that differ in their number of clusters alone, each with a score on a task (Caron et al., figure 2c).

use std::io::{self, Write};
use std::path::Path;

use burn::tensor::Device;
use deepcluster_data::Images;
use deepcluster_evaluation::WeightedKnnConfig;
use deepcluster_files::write_whole;
use deepcluster_models::{NamedWeights, Network};
use deepcluster_trainer::{RunDirectory, TrainConfig, TrainObserver, TrainedNetwork, begin_run, resume_run};
use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};
use crate::labelled_folder::{LabelledFolder, LabelledPair};
use crate::layer_knn::knn_on_layers;
use crate::linear_probe::{LinearProbe, LinearProbeConfig};
use crate::task_identity::{TaskIdentity, TaskSettings, fingerprint};
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
    /// Name of the score, for tables and charts.
    pub fn score_name(&self) -> &'static str {
        match self {
            Self::Knn(..) => "top-1 accuracy of nearest neighbours",
            Self::Linear(..) => "top-1 accuracy of linear classifiers",
            Self::VocClassification(..) => "11-point mean average precision on VOC",
        }
    }

    /// The settings and the data of the task.
    fn identity(&self) -> TaskIdentity {
        let pair = |data: &LabelledPair| {
            let images = [&data.train, &data.test].into_iter().flat_map(LabelledFolder::described);
            images.collect::<Vec<Vec<u8>>>()
        };
        let (settings, images) = match self {
            Self::Knn(data, config) => (TaskSettings::new(config, &[]), pair(data)),
            Self::Linear(data, config) => (TaskSettings::new(config, &[]), pair(data)),
            Self::VocClassification(data, config) => {
                let names = data.train.fingerprint_names().chain(data.test.fingerprint_names());
                (TaskSettings::new(config, &[]), names.map(<[u8]>::to_vec).collect())
            }
        };
        TaskIdentity::new(settings, fingerprint(&NamedWeights::new(), images.iter().map(Vec::as_slice)))
    }

    /// Scores by layer. With a `state` file a stopped task is resumed.
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
                let layers = knn_on_layers(net, &reading, device, data, &[], config, observer)?;
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
    /// Number of clusters in the settings.
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

/// A finished point, with the task and the length of the run that it belongs to.
#[derive(Serialize, Deserialize)]
struct SavedPoint {
    task: TaskIdentity,
    /// Epochs of the run.
    num_epochs: usize,
    point: SweepPoint,
}

/// Trains a run for each number of clusters, in a folder `k-NUMBER` of `out`, and scores each on the task.
/// Finished runs and scores of the same settings are kept, and a stopped run is resumed. `finished` gets
/// every point as soon as it is known.
///
/// # Errors
/// [`TransferError::InvalidConfig`] without numbers of clusters; errors of the training and of the task.
pub fn sweep_clusters(
    images: &Images,
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
        config.objective.clustering_mut().num_clusters = Some(num_clusters);
        let point = point(images, config, task, &folder, device, observer)?;
        finished(&point);
        points.push(point);
    }
    Ok(points)
}

fn point(
    images: &Images,
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
    let (identity, num_epochs) = (task.identity(), epochs.len());
    let saved = run.file("sweep.json");
    if let Ok(bytes) = std::fs::read(&saved)
        && let Ok(saved) = serde_json::from_slice::<SavedPoint>(&bytes)
        && saved.task == identity
        && saved.num_epochs == num_epochs
    {
        return Ok(saved.point);
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
    let text = serde_json::to_vec_pretty(&SavedPoint { task: identity, num_epochs, point: point.clone() });
    let written = text.map_err(io::Error::from);
    written
        .and_then(|bytes| write_whole(&saved, |writer| writer.write_all(&bytes)))
        .map_err(TransferError::io("write", &saved))?;
    if state.exists() {
        std::fs::remove_file(&state).map_err(TransferError::io("remove", &state))?;
    }
    Ok(point)
}

#[cfg(test)]
mod tests {
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
        base.images.size = 32;
        base.network.width = 0.125;
        base.training.epochs = 1;
        base.training.batch_size = 16;
        let folder = Images::open(&images).unwrap();
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
        // Scores of another task, or of one with another setting, are measured anew.
        let saved = out.join("k-4/sweep.json");
        let text = std::fs::read_to_string(&saved).unwrap();
        std::fs::write(&saved, text.replace("0.07", "0.08").replace("fc7", "fc8")).unwrap();
        assert_eq!(run(&[4]).unwrap(), points[..1]);
        std::fs::write(&saved, text.replace("fc7", "fc8")).unwrap();
        assert_eq!(run(&[4]).unwrap()[0].scores.last().unwrap().0, "fc8");
        std::fs::write(&saved, text).unwrap();
        assert!(run(&[]).unwrap_err().to_string().starts_with("clusters = []"));
        assert_eq!(num_finished, 7);
    }
}
