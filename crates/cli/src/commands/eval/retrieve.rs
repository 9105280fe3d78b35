//! `deepcluster eval retrieve`

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use deepcluster::data::{Images, LabelSource, ScanConfig};

use deepcluster::transfer::{
    LabelledFolder, LandmarkGroundTruth, LandmarkResult, RecallResult, RetrievalConfig, TransferError,
    recall_at, remove_retrieval_states, retrieve_landmarks,
};
use deepcluster_files::read_text;
use serde_json::{Value, json};

use super::results::{ResultsPlace, networks, percent, publish, table};
use crate::arguments::{EvalRetrieve, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: EvalRetrieve, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let networks = networks(&command.run, !command.no_baseline, &device)?;
    let place = ResultsPlace::new(&command.results, &command.run, "retrieve")?;
    let config = RetrievalConfig {
        long_side: command.long_side,
        num_scales: command.scales,
        num_components: command.dimensions,
    };
    let labels = match command.ground_truth {
        Some(_) => LabelSource::None,
        None => LabelSource::from(command.labels.clone()),
    };
    let scan = |folder: &Path, labels: LabelSource| -> anyhow::Result<Arc<Images>> {
        let mut images = Images::scan(folder, &ScanConfig { labels })?;
        if let Some(list) = &command.exclude {
            exclude(&mut images, list)?;
        }
        Ok(Arc::new(images))
    };
    let images = scan(&command.images, labels)?;
    let whitening = match &command.whiten_on {
        Some(folder) => scan(folder, LabelSource::None)?,
        None => images.clone(),
    };
    let task = match &command.ground_truth {
        Some(folder) => Task::Landmarks(LandmarkGroundTruth::open(folder)?),
        None => {
            let no_labels = || TransferError::NoLabels { folder: (&command.images).into() };
            let labels = images.labels().ok_or_else(no_labels)?.of_image.clone();
            Task::Classes(LabelledFolder { images: images.clone(), labels })
        }
    };
    let mut progress = Progress::new(output, stop_flag()?);
    let states = |name: &str| place.folder.join(format!("{name}-state"));
    let mut of_networks: Vec<(&str, Found)> = Vec::new();
    for (name, network) in &networks {
        let network = &network.convnet("retrieval")?;
        progress.say(&format!("describing images by the {name} network"));
        let states = states(name);
        let states = Some(states.as_path());
        let found = match &task {
            Task::Landmarks(truth) => Found::Landmarks(retrieve_landmarks(
                network,
                &images,
                truth,
                &whitening,
                &config,
                states,
                &mut progress,
            )?),
            Task::Classes(labelled) => {
                let counts = &command.counts;
                let recall = recall_at(network, labelled, &whitening, counts, &config, states, &mut progress);
                Found::Classes(recall?)
            }
        };
        of_networks.push((name, found));
    }
    progress.clear();
    let results = json!({
        "protocol": "retrieve",
        "run": command.run.to_string_lossy(),
        "images": command.images.to_string_lossy(),
        "ground_truth": command.ground_truth,
        "whiten_on": command.whiten_on,
        "config": config,
        "networks": of_networks
            .iter()
            .map(|(name, found)| json!({"network": name, "result": found.to_json()}))
            .collect::<Vec<_>>(),
    });
    publish(&place, &results, &as_table(&of_networks), output, &progress)?;
    // No longer needed, and they would refuse other settings.
    for (name, _) in &networks {
        remove_retrieval_states(&states(name))?;
    }
    Ok(())
}

/// Most bytes of a list of names.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// Leaves out the images that a file names.
fn exclude(images: &mut Images, list: &Path) -> anyhow::Result<()> {
    let text = read_text(list, MAX_LIST_BYTES).with_context(|| format!("cannot read {}", list.display()))?;
    let names: HashSet<&str> = text.split_whitespace().collect();
    let is_named = |index: &usize| {
        let stem = Path::new(images.name(*index)).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        stem.is_some_and(|stem| names.contains(stem.as_str()))
    };
    let excluded: Vec<(usize, String)> = (0..images.len())
        .filter(is_named)
        .map(|index| (index, "left out by --exclude".to_string()))
        .collect();
    images.exclude(&excluded);
    Ok(())
}

enum Task {
    Landmarks(LandmarkGroundTruth),
    Classes(LabelledFolder),
}

enum Found {
    Landmarks(LandmarkResult),
    Classes(RecallResult),
}

impl Found {
    fn to_json(&self) -> Value {
        match self {
            Self::Landmarks(result) => json!(result),
            Self::Classes(result) => json!(result),
        }
    }

    /// Names of the scores, and their values.
    fn rows(&self) -> Vec<(String, f64)> {
        match self {
            Self::Landmarks(result) => {
                let mean = ("mean average precision".to_string(), result.mean_average_precision);
                std::iter::once(mean).chain(result.queries.iter().cloned()).collect()
            }
            Self::Classes(result) => {
                result.recalls.iter().map(|(k, recall)| (format!("recall@{k}"), *recall)).collect()
            }
        }
    }
}

/// A row for each measure, a column for each network.
fn as_table(of_networks: &[(&str, Found)]) -> String {
    let header = std::iter::once("measure".to_string())
        .chain(of_networks.iter().map(|(name, _)| name.to_string()))
        .collect::<Vec<String>>();
    let columns: Vec<Vec<(String, f64)>> = of_networks.iter().map(|(_, found)| found.rows()).collect();
    let Some(first) = columns.first() else { return String::new() };
    let rows: Vec<Vec<String>> = first
        .iter()
        .enumerate()
        .map(|(index, (measure, _))| {
            let cells = columns.iter().map(|column| percent(column[index].1));
            std::iter::once(measure.clone()).chain(cells).collect()
        })
        .collect();
    table(&header, &rows)
}
