//! `deepcluster assign`

mod cluster_folders;

use std::sync::Arc;

use anyhow::Context;
use deepcluster::data::Images;
use deepcluster::trainer::{
    AssignedImages, RunDirectory, TrainedModel, write_assignments, write_assignments_to,
};
use serde_json::json;

use self::cluster_folders::write_cluster_folders;
use crate::arguments::{Assign, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::{print_json, print_with};
use crate::usage_error::UsageError;

pub(crate) fn run(command: Assign, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let run = RunDirectory::open(&command.run)?;
    let model = TrainedModel::load(&run, &device)?;
    if let Some(folder) = &command.folders
        && folder.symlink_metadata().is_ok()
    {
        let message = format!("{} exists already: name a new folder for the clusters", folder.display());
        return Err(UsageError(message).into());
    }
    let mut scan = model.config().scan_config();
    scan.labels = deepcluster::data::LabelSource::None;
    let images = Arc::new(Images::scan(&command.images, &scan)?);
    let mut progress = Progress::new(output, stop_flag()?);
    progress.say_found(&images);
    let assigned = model.assign(&images, &mut progress)?;
    progress.clear();
    for skipped in images.skipped() {
        progress.say(&format!("skipped {}: {}", skipped.path.display(), skipped.reason));
    }
    for (image_index, reason) in &assigned.failures {
        progress.say(&format!("skipped {}: {reason}", images.place(*image_index)));
    }
    print_assignments(&command, output, &images, &assigned, &progress)?;
    if let Some(folder) = &command.folders {
        let num_clusters = model.clusters().centroids.nrows();
        let skipped = write_cluster_folders(&images, &assigned, num_clusters, folder, command.place)?;
        for (image_index, reason) in &skipped {
            progress.say(&format!("not placed: {}: {reason}", images.place(*image_index)));
        }
        progress.say(&format!("clusters as folders in {}", folder.display()));
    }
    Ok(())
}

/// Before any folder: the clusters are what took the time.
fn print_assignments(
    command: &Assign,
    output: Output,
    images: &Images,
    assigned: &AssignedImages,
    progress: &Progress,
) -> anyhow::Result<()> {
    let rows = assigned.image_indices.iter().enumerate().map(|(row, &image_index)| {
        (images.os_name(image_index).as_ref(), assigned.clusters[row], assigned.squared_distances[row])
    });
    if let Some(path) = &command.out {
        write_assignments(path, rows)?;
        progress.say(&format!("{} images in {}", assigned.image_indices.len(), path.display()));
    } else if output.json {
        for (path, cluster, squared_distance) in rows {
            let distance = squared_distance.max(0.0).sqrt();
            print_json(&json!({"path": path.to_string_lossy(), "cluster": cluster, "distance": distance}));
        }
    } else {
        let mut table = Vec::new();
        write_assignments_to(&mut table, rows).context("cannot create the table")?;
        print_with(|writer| writer.write_all(&table));
    }
    Ok(())
}
