//! `deepcluster inspect`

use deepcluster::data::Location;
use deepcluster::models::NetworkInfo;
use deepcluster::trainer::{EpochTimings, RunDirectory, TrainConfig, TrainerError};
use serde_json::json;

use crate::arguments::{Inspect, Output};
use crate::progress::epoch_line;
use crate::stdout::{print_json, print_out};

pub(crate) fn run(command: Inspect, output: Output) -> anyhow::Result<()> {
    let run = RunDirectory::open(&command.run)?;
    let (config, metrics, timings) = (run.config()?, run.metrics()?, run.timings()?);
    let (finished, problem) = match run.is_finished() {
        Ok(finished) => (finished, None),
        Err(error @ (TrainerError::Mixed { .. } | TrainerError::Damaged { .. })) => {
            (false, Some(error.to_string()))
        }
        Err(error) => return Err(error.into()),
    };
    let (location, origin, network) = (location(&run)?, run.origin()?, run.network()?);
    if output.json {
        print_json(&json!({
            "run": command.run.to_string_lossy(),
            "images": location.as_ref().map(Location::to_string),
            "imported": origin,
            "finished": finished,
            "problem": problem,
            "network": network,
            "config": config,
            "epochs": metrics,
            "timings": timings,
        }));
        return Ok(());
    }
    print_out(&format!("run      {}", command.run.display()));
    match &location {
        Some(location) => print_out(&format!("images   {location}")),
        None => {
            print_out("images   none; name a folder to continue: deepcluster train FOLDER --out RUN --resume")
        }
    }
    print_out(&format!("task     {}", config.objective.kind().name()));
    if let Some(origin) = &origin {
        print_out(&format!("imported from {} after {} epochs", origin.file.display(), origin.epoch));
    }
    let first = origin.as_ref().map_or(0, |origin| origin.epoch);
    let done = metrics.last().map_or(first, |line| line.epoch.saturating_add(1));
    let state = match &problem {
        Some(_) => "results damaged; continue with --resume",
        None if finished => "finished",
        None => "not finished; continue with --resume",
    };
    print_out(&format!(
        "state    {state}, {} of {} epochs",
        done.min(config.training.epochs),
        config.training.epochs
    ));
    if let Some(problem) = problem {
        print_out(&format!("problem  {problem}"));
    }
    if let Some(last) = metrics.last() {
        let skipped = run.skipped()?.len();
        print_out(&format!("data     {} images, {skipped} files skipped (skipped.csv)", last.num_images));
        print_out(&format!(
            "clusters {}, {} empty, features of {} dimensions",
            last.num_clusters, last.num_empty, last.num_components
        ));
    }
    for line in network_lines(&network, &config) {
        print_out(&line);
    }
    for line in &metrics {
        let timing = timings.iter().find(|timing| timing.epoch == line.epoch).copied();
        print_out(&epoch_line(line, &timing.unwrap_or(EpochTimings::default())));
    }
    Ok(())
}

/// The network of the run, and its layers.
fn network_lines(network: &NetworkInfo, config: &TrainConfig) -> [String; 2] {
    let NetworkInfo { name, side, num_parameters, layers, .. } = network;
    let is_ours = config.network().is_ok_and(|config| config.architecture.name() == name);
    let input = match (is_ours, config.network.sobel) {
        (true, true) => ", Sobel",
        (true, false) => ", RGB",
        (false, _) => "",
    };
    let layers = layers.iter().map(|layer| format!("{} {}", layer.name, layer.channels));
    let layers = layers.collect::<Vec<String>>().join(", ");
    [
        format!("network  {name} at {side} px{input}, {num_parameters} parameters, seed {}", config.seed),
        format!("layers   {layers}"),
    ]
}

/// The place of the images, which an imported run may lack.
fn location(run: &RunDirectory) -> Result<Option<Location>, TrainerError> {
    match run.location() {
        Ok(location) => Ok(Some(location)),
        Err(TrainerError::NoImages { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
