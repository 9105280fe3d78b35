//! `deepcluster neighbors`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use deepcluster::clustering::nearest_neighbors;
use deepcluster::data::ImageFolder;
use deepcluster::trainer::{RunDirectory, TrainedModel};
use serde_json::json;

use crate::arguments::{Neighbors, Output};
use crate::interrupt::stop_flag;
use crate::progress::{Progress, print_json, print_out};

pub(crate) fn run(command: Neighbors, output: Output) -> anyhow::Result<()> {
    if command.count == 0 {
        bail!("--count = 0 is not allowed: at least 1");
    }
    let device = command.device.device()?;
    let run = RunDirectory::open(&command.run)?;
    let model = TrainedModel::load(&run, &device)?;
    let database = run.features()?;
    let images = run.images()?;
    let queries: Vec<PathBuf> = command
        .queries
        .iter()
        .map(|path| std::fs::canonicalize(path).with_context(|| format!("cannot open {}", path.display())))
        .collect::<anyhow::Result<_>>()?;
    let folder = Arc::new(ImageFolder::from_paths(PathBuf::from("/"), queries, None));
    let mut progress = Progress::new(output, stop_flag()?);
    let (features, rows, failures) = model.whitened_features(&folder, &mut progress)?;
    progress.clear();
    for (index, reason) in &failures {
        progress.say(&format!("skipped {}: {reason}", command.queries[*index].display()));
    }
    let count = command.count.min(database.nrows());
    let neighbors = nearest_neighbors(features.view(), database.view(), count, false)
        .map_err(deepcluster::Error::from)?;
    if !output.json {
        print_out("query,rank,neighbor,distance");
    }
    for (row, &query_index) in rows.iter().enumerate() {
        let query = command.queries[query_index].to_string_lossy();
        for rank in 0..count {
            let path = images.path(neighbors.indices[[row, rank]] as usize);
            let path = path.to_string_lossy();
            let distance = neighbors.squared_distances[[row, rank]].max(0.0).sqrt();
            if output.json {
                let rank = rank + 1;
                print_json(&json!({"query": query, "rank": rank, "neighbor": path, "distance": distance}));
            } else {
                print_out(&csv_line(&[&query, &(rank + 1).to_string(), &path, &distance.to_string()])?);
            }
        }
    }
    Ok(())
}

fn csv_line(fields: &[&str]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    let line = String::from_utf8(writer.into_inner().map_err(|error| error.into_error())?)?;
    Ok(line.trim_end().to_string())
}
