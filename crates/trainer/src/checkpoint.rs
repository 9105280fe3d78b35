//! Checkpoints: everything a run needs to go on as if it had never stopped.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use deepcluster_clustering::Assignments;
use deepcluster_models::NamedWeights;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::error::TrainerError;
use crate::files::write_atomic;
use crate::metrics::{EpochMetrics, EpochTimings};
use crate::tensor_file::{Array, TensorFile};

/// How many checkpoints are kept: should the newest be damaged, the one before it still works.
const NUM_KEPT: usize = 2;

/// A place in a run and everything that has been learned up to it.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) progress: Progress,
    pub(crate) network: NamedWeights,
    pub(crate) velocities: BTreeMap<String, TensorData>,
    /// The head of the running epoch, or at its beginning that of the one before.
    pub(crate) head: Option<NamedWeights>,
    /// The newest clustering.
    pub(crate) assignments: Option<Assignments>,
}

/// The numbers of a checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Epoch, from 0.
    pub(crate) epoch: usize,
    /// Steps of the epoch that are done; at 0 the epoch begins with its clustering.
    pub(crate) step: usize,
    /// Sum of the losses of those steps.
    pub(crate) loss_sum: f64,
    /// What the clustering of the running epoch measured.
    pub(crate) metrics: Option<EpochMetrics>,
    pub(crate) timings: EpochTimings,
}

/// Lengths and checksums of the files of a checkpoint, written last.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, FileCheck>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileCheck {
    bytes: u64,
    crc32: u32,
}

/// Counts and checks what passes through to a file.
struct CheckedWriter<W> {
    writer: W,
    bytes: u64,
    crc32: crc32fast::Hasher,
}

impl<W> CheckedWriter<W> {
    fn finish(self) -> FileCheck {
        FileCheck { bytes: self.bytes, crc32: self.crc32.finalize() }
    }
}

impl<W: Write> Write for CheckedWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(buffer)?;
        self.bytes += written as u64;
        self.crc32.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Checkpoint {
    /// Saves the checkpoint under `folder`; see [`CheckpointWriter`].
    pub(crate) fn save(&self, folder: &Path) -> Result<PathBuf, TrainerError> {
        let mut writer = CheckpointWriter::begin(folder, &self.progress)?;
        writer.network(&self.network)?;
        writer.velocities(&self.velocities)?;
        if let Some(head) = &self.head {
            writer.head(head)?;
        }
        if let Some(assignments) = &self.assignments {
            writer.assignments(assignments)?;
        }
        writer.finish()
    }

    /// The newest readable checkpoint under `folder`, or `None` where there is none; `warn` is told of damaged ones.
    pub(crate) fn load_newest(
        folder: &Path,
        mut warn: impl FnMut(String),
    ) -> Result<Option<Self>, TrainerError> {
        let mut first_problem = None;
        for path in list(folder)?.into_iter().rev() {
            match Self::load(&path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(reason) => {
                    warn(format!(
                        "the checkpoint {} is damaged ({reason}); using the one before",
                        path.display()
                    ));
                    first_problem.get_or_insert(format!("{}: {reason}", path.display()));
                }
            }
        }
        match first_problem {
            None => Ok(None),
            Some(reason) => Err(TrainerError::NoUsableCheckpoint { path: folder.to_path_buf(), reason }),
        }
    }

    fn load(path: &Path) -> Result<Self, String> {
        let read = |name: &str| fs::read(path.join(name)).map_err(|error| format!("{name}: {error}"));
        let manifest: Manifest = serde_json::from_slice(&read("manifest.json")?)
            .map_err(|error| format!("manifest.json: {error}"))?;
        let mut checkpoint = Self {
            progress: Progress::default(),
            network: NamedWeights::new(),
            velocities: BTreeMap::new(),
            head: None,
            assignments: None,
        };
        for needed in ["progress.json", "network.safetensors", "momentum.safetensors"] {
            if !manifest.files.contains_key(needed) {
                return Err(format!("{needed} is missing"));
            }
        }
        // One file after the other, as they may be large.
        for (name, expected) in manifest.files {
            // The name comes from a file; it must not lead out of the checkpoint.
            if Path::new(&name).file_name().is_none_or(|file_name| file_name != name.as_str()) {
                return Err(format!("manifest.json names '{name}'"));
            }
            let bytes = read(&name)?;
            let found = FileCheck { bytes: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
            if found != expected {
                return Err(format!(
                    "{name} is not what was written ({} of {} bytes)",
                    found.bytes, expected.bytes
                ));
            }
            checkpoint.take_file(&name, &bytes).map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(checkpoint)
    }

    /// Fills in what the file `name` holds; an unknown file is left alone.
    fn take_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        match name {
            "progress.json" => {
                self.progress = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            }
            "network.safetensors" => self.network = read_tensors(bytes)?,
            "momentum.safetensors" => self.velocities = read_tensors(bytes)?,
            "head.safetensors" => self.head = Some(read_tensors(bytes)?),
            "assignments.safetensors" => self.assignments = Some(read_assignments(bytes)?),
            _ => {}
        }
        Ok(())
    }
}

/// Writes a checkpoint part by part, so that no more than one of them need be copied from the device at a time: all
/// files into a temporary folder, then one rename.
pub(crate) struct CheckpointWriter {
    folder: PathBuf,
    target: PathBuf,
    temporary: TempDir,
    files: BTreeMap<String, FileCheck>,
}

impl CheckpointWriter {
    pub(crate) fn begin(folder: &Path, progress: &Progress) -> Result<Self, TrainerError> {
        fs::create_dir_all(folder).map_err(TrainerError::io("create", folder))?;
        let target = folder.join(format!("epoch-{:05}-step-{:07}", progress.epoch, progress.step));
        let temporary = tempfile::Builder::new()
            .prefix(".writing-")
            .tempdir_in(folder)
            .map_err(TrainerError::io("write", &target))?;
        let mut writer = Self { folder: folder.to_path_buf(), target, temporary, files: BTreeMap::new() };
        let progress = to_json(progress, &writer.target)?;
        writer.write("progress.json", |file| file.write_all(&progress))?;
        Ok(writer)
    }

    pub(crate) fn network(&mut self, weights: &NamedWeights) -> Result<(), TrainerError> {
        self.write("network.safetensors", |file| named_tensors(weights).write_to(file))
    }

    pub(crate) fn velocities(
        &mut self,
        velocities: &BTreeMap<String, TensorData>,
    ) -> Result<(), TrainerError> {
        self.write("momentum.safetensors", |file| named_tensors(velocities).write_to(file))
    }

    pub(crate) fn head(&mut self, weights: &NamedWeights) -> Result<(), TrainerError> {
        self.write("head.safetensors", |file| named_tensors(weights).write_to(file))
    }

    pub(crate) fn assignments(&mut self, assignments: &Assignments) -> Result<(), TrainerError> {
        let mut tensors = TensorFile::default();
        tensors.arrays.insert("assignments".to_string(), Array::from_u32(assignments.labels()));
        tensors.metadata.insert("num_clusters".to_string(), assignments.num_clusters().to_string());
        self.write("assignments.safetensors", |file| tensors.write_to(file))
    }

    /// Moves the checkpoint to its place and removes old ones.
    pub(crate) fn finish(self) -> Result<PathBuf, TrainerError> {
        let Self { folder, target, temporary, files } = self;
        let manifest = to_json(&Manifest { files }, &target)?;
        write_atomic(&temporary.path().join("manifest.json"), |writer| writer.write_all(&manifest))?;
        if target.exists() {
            fs::remove_dir_all(&target).map_err(TrainerError::io("replace", &target))?;
        }
        fs::rename(temporary.keep(), &target).map_err(TrainerError::io("write", &target))?;
        prune(&folder)?;
        Ok(target)
    }

    fn write(
        &mut self,
        name: &str,
        contents: impl Fn(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), TrainerError> {
        let files = &mut self.files;
        write_atomic(&self.temporary.path().join(name), |writer| {
            let mut checked = CheckedWriter { writer, bytes: 0, crc32: crc32fast::Hasher::new() };
            contents(&mut checked)?;
            files.insert(name.to_string(), checked.finish());
            Ok(())
        })
    }
}

fn named_tensors(weights: &BTreeMap<String, TensorData>) -> TensorFile<'_> {
    let arrays =
        weights.iter().filter_map(|(name, data)| Some((name.clone(), Array::from_data(data)?))).collect();
    TensorFile { arrays, metadata: BTreeMap::new() }
}

fn read_tensors(bytes: &[u8]) -> Result<BTreeMap<String, TensorData>, String> {
    let arrays = TensorFile::from_bytes(bytes)?.arrays.into_iter();
    arrays.map(|(name, array)| Ok((name, array.to_data()?))).collect()
}

fn read_assignments(bytes: &[u8]) -> Result<Assignments, String> {
    let mut file = TensorFile::from_bytes(bytes)?;
    let labels = file.take("assignments")?.to_u32()?;
    let num_clusters = file.metadata.get("num_clusters").and_then(|text| text.parse().ok());
    let num_clusters = num_clusters.ok_or("the number of clusters is missing")?;
    Assignments::new(labels, num_clusters).map_err(|error| error.to_string())
}

fn to_json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, TrainerError> {
    let damaged = |error: serde_json::Error| TrainerError::Damaged {
        path: path.to_path_buf(),
        reason: format!("cannot be written: {error}"),
    };
    serde_json::to_vec_pretty(value).map_err(damaged)
}

/// The checkpoints under `folder`, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>, TrainerError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainerError::io("read", folder))? {
        let entry = entry.map_err(TrainerError::io("read", folder))?;
        if entry.file_name().to_string_lossy().starts_with("epoch-") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Removes all but the newest checkpoints, and what a killed process left behind.
fn prune(folder: &Path) -> Result<(), TrainerError> {
    let checkpoints = list(folder)?;
    let num_old = checkpoints.len().saturating_sub(NUM_KEPT);
    let leftovers = fs::read_dir(folder).map_err(TrainerError::io("read", folder))?;
    let leftovers = leftovers
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(".writing-"))
        .map(|entry| entry.path());
    for path in checkpoints[..num_old].iter().cloned().chain(leftovers) {
        fs::remove_dir_all(&path).map_err(TrainerError::io("remove", &path))?;
    }
    Ok(())
}
