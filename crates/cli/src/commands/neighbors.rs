//! `deepcluster neighbors`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use deepcluster::data::Images;
use deepcluster::report::pictures::{ComparedNeighbors, FoundNeighbors, neighbor_sheet, neighbors_in_runs};
use deepcluster::trainer::{RunDirectory, TrainedModel};
use serde_json::json;

use super::sheets::SheetFile;
use crate::arguments::{Neighbors, Output};
use crate::interrupt::stop_flag;
use crate::progress::{Progress, csv_line};
use crate::stdout::{print_json, print_out};

pub(crate) fn run(command: Neighbors, output: Output) -> anyhow::Result<()> {
    let in_run = SheetFile::InRun { run: &command.run, name: "neighbors.png" };
    let named = command.picture.as_deref().map(SheetFile::Named);
    let picture = named.or_else(|| command.compare_untrained.then_some(in_run));
    picture.iter().try_for_each(|picture| picture.check(command.force))?;
    let device = command.device.device()?;
    let run = RunDirectory::open(&command.run)?;
    let model = TrainedModel::load(&run, &device)?;
    let images = run.images()?;
    let queries: Vec<PathBuf> = command
        .queries
        .iter()
        .map(|path| std::fs::canonicalize(path).with_context(|| format!("cannot open {}", path.display())))
        .collect::<anyhow::Result<_>>()?;
    let queries = Arc::new(Images::from_paths(PathBuf::from("/"), queries, None));
    let mut progress = Progress::new(output, stop_flag()?);
    let FoundNeighbors { queries: found, failures } =
        neighbors_in_runs(&run, &model, &queries, command.count, command.compare_untrained, &mut progress)?;
    progress.clear();
    for (index, reason) in &failures {
        progress.say(&format!("skipped {}: {reason}", command.queries[*index].display()));
    }
    if let Some(picture) = picture {
        let path = picture.save(&neighbor_sheet(&model.config().input(), &images, &queries, &found)?)?;
        progress.say(&format!("the picture is in {}", path.display()));
    }
    print_found(&command, &images, &found, output)
}

/// A line for each neighbour, those by the untrained network first.
fn print_found(
    command: &Neighbors,
    images: &Images,
    found: &[ComparedNeighbors],
    output: Output,
) -> anyhow::Result<()> {
    if !output.json {
        print_out(if command.compare_untrained {
            "query,network,rank,neighbor,distance"
        } else {
            "query,rank,neighbor,distance"
        });
    }
    for one in found {
        let query = command.queries[one.query_index].to_string_lossy();
        let of_networks = [("untrained", one.untrained.as_deref()), ("trained", Some(&one.trained[..]))];
        for (network, neighbors) in of_networks {
            for (index, neighbor) in neighbors.unwrap_or_default().iter().enumerate() {
                let (rank, distance) = (index + 1, neighbor.distance);
                let path = images.place(neighbor.image_index);
                if output.json {
                    print_json(&json!({
                        "query": query, "network": network, "rank": rank, "neighbor": path, "distance": distance,
                    }));
                    continue;
                }
                let (rank, distance) = (rank.to_string(), distance.to_string());
                let mut fields: Vec<&str> = vec![&query, network, &rank, &path, &distance];
                if !command.compare_untrained {
                    fields.remove(1);
                }
                print_out(&csv_line(&fields)?);
            }
        }
    }
    Ok(())
}
