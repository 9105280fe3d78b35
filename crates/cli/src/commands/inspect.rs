//! `deepcluster inspect`

use deepcluster::trainer::{EpochTimings, RunDirectory};
use serde_json::json;

use crate::arguments::{Inspect, Output};
use crate::progress::{epoch_line, print_json, print_out};

pub(crate) fn run(command: Inspect, output: Output) -> anyhow::Result<()> {
    let run = RunDirectory::open(&command.run)?;
    let (config, metrics, timings) = (run.config()?, run.metrics()?, run.timings()?);
    let finished = run.file("model.safetensors").exists();
    let images_root = run.images_root()?;
    if output.json {
        print_json(&json!({
            "run": command.run.to_string_lossy(),
            "images": images_root.to_string_lossy(),
            "finished": finished,
            "config": config,
            "epochs": metrics,
            "timings": timings,
        }));
        return Ok(());
    }
    print_out(&format!("run      {}", command.run.display()));
    print_out(&format!("images   {}", images_root.display()));
    let state = if finished { "finished" } else { "not finished; continue with --resume" };
    print_out(&format!(
        "state    {state}, {} of {} epochs",
        metrics.len().min(config.training.epochs),
        config.training.epochs
    ));
    if let Some(last) = metrics.last() {
        let skipped = csv::Reader::from_path(run.file("skipped.csv"))?.records().count();
        print_out(&format!("data     {} images, {skipped} files skipped (skipped.csv)", last.num_images));
        print_out(&format!(
            "clusters {}, {} empty, features of {} dimensions",
            last.num_clusters, last.num_empty, last.num_components
        ));
    }
    let network = config.network()?;
    let input = if config.model.sobel { "Sobel" } else { "RGB" };
    print_out(&format!(
        "network  {} at {} px, {input}, seed {}",
        network.architecture, network.image_size, config.seed
    ));
    for line in &metrics {
        let timing = timings.iter().find(|timing| timing.epoch == line.epoch).copied();
        print_out(&epoch_line(line, &timing.unwrap_or(EpochTimings::default())));
    }
    Ok(())
}
