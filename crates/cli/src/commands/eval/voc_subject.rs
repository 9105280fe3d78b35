//! Shared code of the protocols on PASCAL VOC.

use std::path::{Path, PathBuf};

use anyhow::Context;
use deepcluster::burn::tensor::Device;
use deepcluster::models::ConvNet;
use deepcluster::trainer::TrainedNetwork;
use deepcluster::transfer::{FineTunedLayers, MeanAveragePrecision, TaskSgd, TransferError};
use serde::Serialize;
use serde_json::{Value, json};

use super::results::{ResultsPlace, networks, percent, table};
use crate::arguments::{FineTuning, VocData};
use crate::progress::Progress;

/// The networks to measure, with their names, and where results go.
pub(super) struct VocSubject {
    pub(super) networks: Vec<(&'static str, TrainedNetwork<ConvNet>)>,
    pub(super) device: Device,
    pub(super) place: ResultsPlace,
}

impl VocSubject {
    pub(super) fn load(options: &VocData, protocol: &str) -> anyhow::Result<Self> {
        let place = ResultsPlace::new(&options.results, &options.run, protocol)?;
        let device = options.device.device()?;
        let mut dense = Vec::new();
        for (name, network) in networks(&options.run, options.baseline, &device)? {
            dense.push((name, network.convnet("fine-tuning on PASCAL VOC")?));
        }
        Ok(Self { networks: dense, device, place })
    }

    /// State file of a task on a network.
    fn state(&self, network: &str) -> PathBuf {
        self.place.folder.join(format!("{network}.safetensors"))
    }

    /// Fine-tunes each network to a task.
    pub(super) fn fine_tune<R>(
        &self,
        layers: FineTunedLayers,
        progress: &mut Progress,
        mut task: impl FnMut(&TrainedNetwork<ConvNet>, &Path, &mut Progress) -> Result<R, TransferError>,
    ) -> Result<Vec<(&'static str, R)>, TransferError> {
        let mut of_networks = Vec::new();
        for (name, network) in &self.networks {
            progress.say(&format!("fine-tuning {} of the {name} network", layers.name()));
            of_networks.push((*name, task(network, &self.state(name), progress)?));
        }
        progress.clear();
        Ok(of_networks)
    }

    /// Removes the files of all tasks: they are no longer needed and would refuse other settings.
    pub(super) fn remove_states(&self) -> anyhow::Result<()> {
        for (name, _) in &self.networks {
            let state = self.state(name);
            std::fs::remove_file(&state).with_context(|| format!("cannot remove {}", state.display()))?;
        }
        Ok(())
    }
}

impl VocData {
    /// Common head of the results: the protocol, its data and settings, and the results of each network.
    pub(super) fn results(
        &self,
        protocol: &str,
        config: impl Serialize,
        of_networks: &[(&str, impl Serialize)],
    ) -> Value {
        json!({
            "protocol": protocol,
            "run": self.run.to_string_lossy(),
            "voc": self.voc.to_string_lossy(),
            "train_set": self.train_set,
            "test_set": self.test_set,
            "config": config,
            "networks": of_networks
                .iter()
                .map(|(name, result)| json!({"network": name, "result": result}))
                .collect::<Vec<_>>(),
        })
    }
}

impl FineTuning {
    /// Puts what the user has chosen into the settings of a task.
    pub(super) fn apply(&self, layers: &mut FineTunedLayers, sgd: &mut TaskSgd, seed: &mut u64) {
        *layers = self.layers.unwrap_or(*layers);
        sgd.num_steps = self.steps.unwrap_or(sgd.num_steps);
        sgd.batch_size = self.batch_size.unwrap_or(sgd.batch_size);
        sgd.learning_rate = self.learning_rate.unwrap_or(sgd.learning_rate);
        sgd.decay_steps = self.decay_steps.unwrap_or(sgd.decay_steps);
        *seed = self.seed;
    }
}

/// A row for each class and one for the mean, three columns for each network.
pub(super) fn average_precision_table(of_networks: &[(String, &MeanAveragePrecision)]) -> String {
    let mut header = vec!["class".to_string(), "to find".to_string()];
    for (name, _) in of_networks {
        for measure in ["11-point AP", "area AP", "AP of scikit-learn"] {
            header.push(format!("{name}, {measure}"));
        }
    }
    let shown = |value: Option<f64>| value.map_or("-".to_string(), percent);
    let Some((_, first)) = of_networks.first() else { return String::new() };
    let mut rows: Vec<Vec<String>> = (0..first.classes.len())
        .map(|index| {
            let class = &first.classes[index];
            let mut row = vec![class.class.clone(), class.num_positives.to_string()];
            for (_, mean) in of_networks {
                let class = &mean.classes[index];
                row.extend([class.eleven_point, class.area, class.step_area].map(shown));
            }
            row
        })
        .collect();
    let total: usize = first.classes.iter().map(|class| class.num_positives).sum();
    let mut mean_row = vec!["mean".to_string(), total.to_string()];
    for (_, mean) in of_networks {
        mean_row.extend([mean.eleven_point, mean.area, mean.step_area].map(percent));
    }
    rows.push(mean_row);
    table(&header, &rows)
}
