//! The output of results.

use std::path::{Path, PathBuf};

use anyhow::Context;
use deepcluster_files::{Replaceable, ResultFolder};
use serde_json::Value;

use crate::arguments::{EvalData, Output, ResultsOutput};
use crate::progress::Progress;
use crate::stdout::{print_json, print_out};
use deepcluster::burn::tensor::Device;
use deepcluster::data::LabelSource;
use deepcluster::models::Network;
use deepcluster::trainer::{RunDirectory, TrainedNetwork};
use deepcluster::transfer::LabelledPair;

/// The networks to measure, with their names, and the images.
pub(super) struct Subject {
    pub(super) networks: Vec<(&'static str, TrainedNetwork<Network>)>,
    pub(super) data: LabelledPair,
    pub(super) device: Device,
}

impl Subject {
    /// Loads the network of the run and, unless it is not wanted, makes the one it began with.
    pub(super) fn load(options: &EvalData) -> anyhow::Result<Self> {
        let device = options.device.device()?;
        let labels = LabelSource::from(options.labels.clone());
        let data = LabelledPair::scan(&options.train, &options.test, &labels)?;
        let networks = networks(&options.run, !options.no_baseline, &device)?;
        Ok(Self { networks, data, device })
    }
}

/// The network of a run and, before it, the one it began with, if requested.
pub(super) fn networks(
    run: &Path,
    with_untrained: bool,
    device: &Device,
) -> anyhow::Result<Vec<(&'static str, TrainedNetwork<Network>)>> {
    let trained = TrainedNetwork::load(&RunDirectory::open(run)?, device)?;
    let mut networks = Vec::new();
    if with_untrained {
        networks.push(("untrained", TrainedNetwork::untrained(trained.config().clone(), device)?));
    }
    networks.push(("trained", trained));
    Ok(networks)
}

/// Names of the results in JSON and Markdown.
const NAMES: [&str; 2] = ["results.json", "results.md"];

/// The folder of the results of a protocol.
pub(super) struct ResultsPlace {
    pub(super) folder: PathBuf,
    replaceable: Replaceable,
}

impl ResultsPlace {
    /// The folder that the options name, or that of the protocol in the run. What may not be replaced there
    /// is told now, not when the work is done.
    pub(super) fn new(options: &ResultsOutput, run: &Path, protocol: &str) -> anyhow::Result<Self> {
        let folder = options.out.clone().unwrap_or_else(|| run.join("eval").join(protocol));
        let replaceable = options.replacing.in_folder(options.out.as_ref());
        ResultFolder::new(&folder, replaceable)
            .check(NAMES)
            .with_context(|| format!("cannot write results to {}", folder.display()))?;
        Ok(Self { folder, replaceable })
    }
}

/// Writes `results.json` and `results.md` to the folder, and prints one of them.
pub(super) fn publish(
    place: &ResultsPlace,
    results: &Value,
    table: &str,
    output: Output,
    progress: &Progress,
) -> anyhow::Result<()> {
    let json = format!("{}\n", serde_json::to_string_pretty(results)?);
    let mut files = ResultFolder::new(&place.folder, place.replaceable);
    NAMES
        .into_iter()
        .zip([json.as_str(), table])
        .try_for_each(|(name, text)| files.stage(name, text.as_bytes()))
        .and_then(|()| files.publish(|_| false))
        .with_context(|| format!("cannot write results to {}", place.folder.display()))?;
    if output.json {
        print_json(results);
    } else {
        print_out(table.trim_end());
    }
    progress.say(&format!("results.json and results.md are in {}", place.folder.display()));
    Ok(())
}

/// A table in Markdown.
pub(super) fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(header);
    text.push_str(&line(&vec!["---".to_string(); header.len()]));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
