//! Where results go.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use deepcluster_files::write_whole;
use serde_json::Value;

use crate::arguments::{EvalData, Output};
use crate::progress::Progress;
use crate::stdout::{print_json, print_out};
use deepcluster::burn::tensor::Device;
use deepcluster::data::LabelSource;
use deepcluster::models::ConvNet;
use deepcluster::trainer::{RunDirectory, TrainedNetwork};
use deepcluster::transfer::LabelledPair;

/// The networks to measure, with their names, and the images.
pub(super) struct Subject {
    pub(super) networks: Vec<(&'static str, TrainedNetwork<ConvNet>)>,
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

/// The network of a run and, before it, the one it began with, if that is wanted.
pub(super) fn networks(
    run: &Path,
    with_untrained: bool,
    device: &Device,
) -> anyhow::Result<Vec<(&'static str, TrainedNetwork<ConvNet>)>> {
    let trained = TrainedNetwork::load(&RunDirectory::open(run)?, device)?;
    let mut networks = Vec::new();
    if with_untrained {
        networks.push(("untrained", TrainedNetwork::untrained(trained.config().clone(), device)?));
    }
    networks.push(("trained", trained));
    Ok(networks)
}

/// Writes `results.json` and `results.md` to the folder, and prints one of them.
pub(super) fn publish(
    folder: &Path,
    results: &Value,
    table: &str,
    output: Output,
    progress: &Progress,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let json = serde_json::to_string_pretty(results)?;
    write_text(&folder.join("results.json"), &format!("{json}\n"))?;
    write_text(&folder.join("results.md"), table)?;
    if output.json {
        print_json(results);
    } else {
        print_out(table.trim_end());
    }
    progress.say(&format!("results.json and results.md are in {}", folder.display()));
    Ok(())
}

/// Folder of the results of a protocol.
pub(super) fn folder_of(out: Option<&PathBuf>, run: &Path, protocol: &str) -> PathBuf {
    out.cloned().unwrap_or_else(|| run.join("eval").join(protocol))
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

fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    write_whole(path, |writer| writer.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
