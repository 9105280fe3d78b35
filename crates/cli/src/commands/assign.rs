//! `deepcluster assign`

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use deepcluster::Error;
use deepcluster::data::ImageFolder;
use deepcluster::trainer::{AssignedImages, RunDirectory, TrainedModel, write_assignments};
use serde_json::json;

use crate::arguments::{Assign, Output, Placement};
use crate::interrupt::stop_flag;
use crate::progress::{Progress, print_json};

pub(crate) fn run(command: Assign, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let run = RunDirectory::open(&command.run)?;
    let model = TrainedModel::load(&run, &device)?;
    if let Some(folder) = &command.folders
        && folder.exists()
    {
        bail!("{} exists already: name a new folder for the clusters", folder.display());
    }
    let mut scan = model.config().scan_config();
    scan.labels = deepcluster::data::LabelSource::None;
    let images = Arc::new(ImageFolder::scan(&command.images, &scan).map_err(Error::from)?);
    let mut progress = Progress::new(output, stop_flag()?);
    let assigned = model.assign(&images, &mut progress)?;
    progress.clear();
    for skipped in images.skipped() {
        progress.say(&format!("skipped {}: {}", skipped.path.display(), skipped.reason));
    }
    for (image_index, reason) in &assigned.failures {
        progress.say(&format!("skipped {}: {reason}", images.path(*image_index).display()));
    }
    if let Some(folder) = &command.folders {
        place_in_folders(&images, &assigned, model.clusters().centroids.nrows(), folder, command.place)?;
        progress.say(&format!("clusters as folders in {}", folder.display()));
    }
    print_assignments(&command, output, &images, &assigned, &progress)
}

fn print_assignments(
    command: &Assign,
    output: Output,
    images: &ImageFolder,
    assigned: &AssignedImages,
    progress: &Progress,
) -> anyhow::Result<()> {
    let rows = assigned.image_indices.iter().enumerate().map(|(row, &image_index)| {
        (images.relative_path(image_index), assigned.clusters[row], assigned.squared_distances[row])
    });
    if let Some(path) = &command.out {
        write_assignments(path, rows)?;
        progress.say(&format!("{} images in {}", assigned.image_indices.len(), path.display()));
        return Ok(());
    }
    if output.json {
        for (path, cluster, squared_distance) in rows {
            let distance = squared_distance.max(0.0).sqrt();
            print_json(&json!({"path": path.to_string_lossy(), "cluster": cluster, "distance": distance}));
        }
        return Ok(());
    }
    // Through a file of our own, so that both outputs are the same bytes.
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let path = folder.path().join("assignments.csv");
    write_assignments(&path, rows)?;
    let mut file = fs::File::open(&path)?;
    match std::io::copy(&mut file, &mut std::io::stdout().lock()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Fills a temporary folder and renames it, so that a stop on the way leaves nothing.
fn place_in_folders(
    images: &ImageFolder,
    assigned: &AssignedImages,
    num_clusters: usize,
    folder: &Path,
    placement: Placement,
) -> anyhow::Result<()> {
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let temporary = tempfile::Builder::new()
        .prefix(".writing-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot write to {}", parent.display()))?;
    let digits = num_clusters.saturating_sub(1).to_string().len();
    for (row, &image_index) in assigned.image_indices.iter().enumerate() {
        let cluster = temporary.path().join(format!("cluster-{:0digits$}", assigned.clusters[row]));
        fs::create_dir_all(&cluster).with_context(|| format!("cannot create {}", cluster.display()))?;
        let source = images.path(image_index);
        let target = free_name(&cluster, images.relative_path(image_index));
        place(&source, &target, placement).with_context(|| format!("cannot place {}", source.display()))?;
    }
    fs::rename(temporary.path(), folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // The folder has its name now; there is nothing left to remove.
    let _ = temporary.keep();
    set_readable(folder)?;
    Ok(())
}

/// Temporary folders are private to their owner; results are not.
fn set_readable(folder: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot open {} for others", folder.display()))?;
    }
    let _ = folder;
    Ok(())
}

/// The file's own name, or its whole path joined by `__` where two images share a name.
fn free_name(folder: &Path, relative: &Path) -> PathBuf {
    let name = folder.join(relative.file_name().unwrap_or(relative.as_os_str()));
    if fs::symlink_metadata(&name).is_err() {
        return name;
    }
    let mut joined = std::ffi::OsString::new();
    for (index, component) in relative.components().enumerate() {
        if index > 0 {
            joined.push("__");
        }
        joined.push(component);
    }
    folder.join(joined)
}

fn place(source: &Path, target: &Path, placement: Placement) -> std::io::Result<()> {
    match placement {
        Placement::Copy => fs::copy(source, target).map(|_| ()),
        #[cfg(unix)]
        Placement::Link => std::os::unix::fs::symlink(fs::canonicalize(source)?, target),
        #[cfg(windows)]
        Placement::Link => std::os::windows::fs::symlink_file(fs::canonicalize(source)?, target),
    }
}
