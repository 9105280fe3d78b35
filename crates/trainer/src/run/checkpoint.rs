//! Checkpoints: everything a run needs to continue as if it had never stopped.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use deepcluster_engine::{EngineError, Event, Learner, Objective, Observer, StateReader, StateWriter};
use deepcluster_files::TemporaryFolder;
use deepcluster_models::{NamedWeights, export_weights};
use serde::{Deserialize, Serialize};

use crate::error::TrainerError;
use crate::metrics::{EpochMetrics, EpochTimings};
use crate::run::files::write_atomic;
use crate::run::tensor_file::{Array, TensorFile};

/// Checkpoints kept: should the newest be damaged, the previous one still works.
const NUM_KEPT: usize = 2;
const MANIFEST: &str = "manifest.json";
/// The parameter group whose velocities every checkpoint has.
pub(crate) const NETWORK_GROUP: &str = "network";
/// Text entry with the bound of integers, and its name in files of earlier programs.
const BOUND: &str = "bound";
const EARLIER_BOUND: &str = "num_clusters";
/// A longer manifest is damage.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A place in a run and everything that has been learned up to it.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    pub(crate) progress: Progress,
    pub(crate) network: NamedWeights,
    /// By parameter group.
    pub(crate) velocities: BTreeMap<String, NamedWeights>,
    /// Heads and the state of the objective.
    pub(crate) state: ObjectiveState,
}

/// The parts of an objective's state by their names.
#[derive(Debug, Default)]
pub(crate) struct ObjectiveState {
    pub(crate) weights: BTreeMap<String, NamedWeights>,
    /// Values, and a bound above them.
    pub(crate) integers: BTreeMap<String, (Vec<u32>, usize)>,
}

impl StateReader for ObjectiveState {
    fn weights(&mut self, name: &str) -> Option<NamedWeights> {
        self.weights.remove(name)
    }

    fn integers(&mut self, name: &str) -> Option<(Vec<u32>, usize)> {
        self.integers.remove(name)
    }
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
    /// Metrics of the clustering of the current epoch.
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
        // The group of the network exists even before the first step.
        writer
            .velocities(NETWORK_GROUP, self.velocities.get(NETWORK_GROUP).unwrap_or(&NamedWeights::new()))?;
        for (group, velocities) in self.velocities.iter().filter(|(group, _)| *group != NETWORK_GROUP) {
            writer.velocities(group, velocities)?;
        }
        for (name, weights) in &self.state.weights {
            writer.weights(name, weights)?;
        }
        for (name, (values, bound)) in &self.state.integers {
            writer.integers(name, values, *bound)?;
        }
        writer.finish()
    }

    /// The result of `restore` for the newest checkpoint under `folder` that is whole and that it accepts, or
    /// `None` where there is no checkpoint; `warn` receives a message for each one skipped.
    pub(crate) fn restore_newest<T>(
        folder: &Path,
        mut restore: impl FnMut(Self) -> Result<T, String>,
        mut warn: impl FnMut(String),
    ) -> Result<Option<T>, TrainerError> {
        let mut first_problem = None;
        for path in list(folder)?.into_iter().rev() {
            match Self::load(&path).and_then(&mut restore) {
                Ok(restored) => return Ok(Some(restored)),
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
        // The length is compared before anything is read.
        let read = |name: &str, is_right: &dyn Fn(u64) -> bool| {
            let file = path.join(name);
            let in_file = |error: io::Error| format!("{name}: {error}");
            let bytes = fs::metadata(&file).map_err(in_file)?.len();
            if is_right(bytes) {
                fs::read(&file).map_err(in_file)
            } else {
                Err(format!("{name} is not what was written: it has {bytes} bytes"))
            }
        };
        let manifest = read(MANIFEST, &|bytes| bytes <= MAX_MANIFEST_BYTES)?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|error| format!("{MANIFEST}: {error}"))?;
        let mut checkpoint = Self::default();
        for needed in ["progress.json", "network.safetensors", "momentum.safetensors"] {
            if !manifest.files.contains_key(needed) {
                return Err(format!("{needed} is missing"));
            }
        }
        // One file after the other, as they may be large.
        for (name, expected) in manifest.files {
            // The name comes from a file; it must not lead out of the checkpoint.
            if Path::new(&name).file_name().is_none_or(|file_name| file_name != name.as_str()) {
                return Err(format!("{MANIFEST} names '{name}'"));
            }
            let bytes = read(&name, &|bytes| bytes == expected.bytes)?;
            if crc32fast::hash(&bytes) != expected.crc32 {
                return Err(format!("{name} is not what was written"));
            }
            checkpoint.take_file(&name, &bytes).map_err(|reason| format!("{name}: {reason}"))?;
        }
        checkpoint.check().map_err(|reason| format!("progress.json: {reason}"))?;
        Ok(checkpoint)
    }

    /// Checks what every place in a run has: one within an epoch has the numbers of its beginning.
    fn check(&self) -> Result<(), String> {
        let Progress { epoch, step, loss_sum, metrics, .. } = &self.progress;
        if !loss_sum.is_finite() {
            return Err("the loss is no number".to_string());
        }
        if *step == 0 {
            return Ok(());
        }
        let metrics = metrics.as_ref().ok_or("the numbers of the running epoch are missing")?;
        if metrics.epoch != *epoch {
            return Err(format!("it has the numbers of epoch {} in epoch {epoch}", metrics.epoch));
        }
        Ok(())
    }

    /// Fills in what the file `name` holds; one that is not of tensors is left alone.
    fn take_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if name == "progress.json" {
            self.progress = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        }
        let Some(name) = name.strip_suffix(".safetensors") else { return Ok(()) };
        let file = TensorFile::from_bytes(bytes)?;
        if let Some(array) = file.arrays.get(name) {
            let integers = read_integers(&array.to_u32()?, &file.metadata)?;
            self.state.integers.insert(name.to_string(), integers);
            return Ok(());
        }
        let arrays = file.arrays.into_iter().map(|(name, array)| Ok((name, array.to_data()?)));
        let weights: NamedWeights = arrays.collect::<Result<_, String>>()?;
        match name.strip_prefix("momentum") {
            _ if name == "network" => self.network = weights,
            Some("") => drop(self.velocities.insert(NETWORK_GROUP.to_string(), weights)),
            Some(group) => drop(self.velocities.insert(group.trim_start_matches('-').to_string(), weights)),
            None => drop(self.state.weights.insert(name.to_string(), weights)),
        }
        Ok(())
    }
}

/// Saves a run at a place under `folder`, and reports it.
pub(crate) fn save_checkpoint<O: Objective>(
    folder: &Path,
    progress: &Progress,
    objective: &O,
    learner: &Learner<O::Model>,
    observer: &mut dyn Observer,
) -> Result<(), TrainerError> {
    let mut writer = CheckpointWriter::begin(folder, progress)?;
    writer.network(&export_weights(O::backbone(&learner.model))?)?;
    for group in learner.groups() {
        let velocities = group.optimizer.export()?;
        if group.name == NETWORK_GROUP || !velocities.is_empty() {
            writer.velocities(group.name, &velocities)?;
        }
    }
    objective.save(&learner.model, &mut writer)?;
    observer.event(&Event::Saved(writer.finish()?));
    Ok(())
}

/// Writes a checkpoint part by part, so that no more than one of them need be copied from the device at a
/// time: all files into a temporary folder, then one rename.
pub(crate) struct CheckpointWriter {
    folder: PathBuf,
    target: PathBuf,
    temporary: TemporaryFolder,
    files: BTreeMap<String, FileCheck>,
}

impl CheckpointWriter {
    pub(crate) fn begin(folder: &Path, progress: &Progress) -> Result<Self, TrainerError> {
        let target = folder.join(format!("epoch-{:05}-step-{:07}", progress.epoch, progress.step));
        let temporary = TemporaryFolder::beside(&target).map_err(TrainerError::io("write", &target))?;
        let mut writer = Self { folder: folder.to_path_buf(), target, temporary, files: BTreeMap::new() };
        let progress = to_json(progress, &writer.target)?;
        writer.write("progress.json", |file| file.write_all(&progress))?;
        Ok(writer)
    }

    pub(crate) fn network(&mut self, weights: &NamedWeights) -> Result<(), TrainerError> {
        self.write("network.safetensors", |file| named_tensors(weights).write_to(file))
    }

    /// The velocities of a parameter group.
    pub(crate) fn velocities(&mut self, group: &str, velocities: &NamedWeights) -> Result<(), TrainerError> {
        let name = match group {
            NETWORK_GROUP => "momentum.safetensors".to_string(),
            group => format!("momentum-{group}.safetensors"),
        };
        self.write(&name, |file| named_tensors(velocities).write_to(file))
    }

    /// Moves the checkpoint to its place and removes old ones.
    pub(crate) fn finish(self) -> Result<PathBuf, TrainerError> {
        let Self { folder, target, temporary, files } = self;
        let manifest = to_json(&Manifest { files }, &target)?;
        write_atomic(&temporary.path().join(MANIFEST), |writer| writer.write_all(&manifest))?;
        if target.exists() {
            fs::remove_dir_all(&target).map_err(TrainerError::io("replace", &target))?;
        }
        temporary.persist(&target).map_err(TrainerError::io("write", &target))?;
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

impl StateWriter for CheckpointWriter {
    fn weights(&mut self, name: &str, weights: &NamedWeights) -> Result<(), EngineError> {
        let written =
            self.write(&format!("{name}.safetensors"), |file| named_tensors(weights).write_to(file));
        written.map_err(|error| EngineError::State(error.into()))
    }

    fn integers(&mut self, name: &str, values: &[u32], bound: usize) -> Result<(), EngineError> {
        let mut tensors = TensorFile::default();
        tensors.arrays.insert(name.to_string(), Array::from_u32(values));
        tensors.metadata.insert(BOUND.to_string(), bound.to_string());
        let written = self.write(&format!("{name}.safetensors"), |file| tensors.write_to(file));
        written.map_err(|error| EngineError::State(error.into()))
    }
}

fn named_tensors(weights: &NamedWeights) -> TensorFile<'_> {
    let arrays =
        weights.iter().filter_map(|(name, data)| Some((name.clone(), Array::from_data(data)?))).collect();
    TensorFile { arrays, metadata: BTreeMap::new() }
}

/// Integers with the bound among the text entries of their file.
fn read_integers(values: &[u32], entries: &BTreeMap<String, String>) -> Result<(Vec<u32>, usize), String> {
    let bound = entries.get(BOUND).or_else(|| entries.get(EARLIER_BOUND));
    let bound: usize =
        bound.and_then(|text| text.parse().ok()).ok_or("the bound of its values is missing")?;
    // Arrays are made of it.
    if bound > values.len() {
        return Err(format!("{} values cannot need a bound of {bound}", values.len()));
    }
    match values.iter().find(|value| **value as usize >= bound) {
        None => Ok((values.to_vec(), bound)),
        Some(value) => Err(format!("the value {value} is not below {bound}")),
    }
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
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainerError::io("read", folder))? {
        let entry = entry.map_err(TrainerError::io("read", folder))?;
        if let Some(place) = place_of(&entry.file_name()) {
            found.push((place, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Epoch and step in the name of a checkpoint; `None` for other names, such as those of copies that a user
/// has made.
pub(crate) fn place_of(name: &OsStr) -> Option<(usize, usize)> {
    let (epoch, step) = name.to_str()?.strip_prefix("epoch-")?.split_once("-step-")?;
    let is_number = |text: &str, digits| text.len() >= digits && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(epoch, 5) || !is_number(step, 7) {
        return None;
    }
    Some((epoch.parse().ok()?, step.parse().ok()?))
}

/// Removes all but the newest checkpoints.
fn prune(folder: &Path) -> Result<(), TrainerError> {
    let checkpoints = list(folder)?;
    let num_old = checkpoints.len().saturating_sub(NUM_KEPT);
    for path in &checkpoints[..num_old] {
        fs::remove_dir_all(path).map_err(TrainerError::io("remove", path))?;
    }
    Ok(())
}

/// Removes leftovers of killed processes in the checkpoints of a run that this process has locked; nobody
/// else writes there. What cannot be removed stays.
pub(crate) fn remove_leftovers(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".writing-")) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// A place within an epoch, with 2 clusters of 4 images.
    fn within_an_epoch() -> Checkpoint {
        let metrics = EpochMetrics { epoch: 3, ..EpochMetrics::default() };
        let weights = |name: &str, length: usize| {
            NamedWeights::from([(name.to_string(), TensorData::new(vec![0.5_f32; length], [length]))])
        };
        Checkpoint {
            progress: Progress { epoch: 3, step: 2, metrics: Some(metrics), ..Progress::default() },
            network: weights("layer.weight", 6),
            velocities: BTreeMap::from([("network".to_string(), weights("layer.weight", 6))]),
            state: ObjectiveState {
                weights: BTreeMap::from([("head".to_string(), weights("linear.bias", 2))]),
                integers: BTreeMap::from([("assignments".to_string(), (vec![0, 1, 1, 0], 2))]),
            },
        }
    }

    /// Epoch and step.
    type Place = (usize, usize);

    /// Place of the checkpoint that is used, and the warnings.
    fn load(folder: &Path) -> (Result<Option<Place>, TrainerError>, Vec<String>) {
        let mut warnings = Vec::new();
        let place = |checkpoint: Checkpoint| Ok((checkpoint.progress.epoch, checkpoint.progress.step));
        (Checkpoint::restore_newest(folder, place, |warning| warnings.push(warning)), warnings)
    }

    /// Replaces a file together with its checksum.
    fn forge(checkpoint: &Path, name: &str, bytes: &[u8]) {
        fs::write(checkpoint.join(name), bytes).unwrap();
        let path = checkpoint.join(MANIFEST);
        let mut manifest: Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let check = FileCheck { bytes: bytes.len() as u64, crc32: crc32fast::hash(bytes) };
        manifest.files.insert(name.to_string(), check);
        fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    fn assignments_of(num_clusters: &str) -> Vec<u8> {
        let mut file = TensorFile::default();
        file.arrays.insert("assignments".to_string(), Array::from_u32(&[0, 1, 1, 0]));
        file.metadata.insert("num_clusters".to_string(), num_clusters.to_string());
        let mut bytes = Vec::new();
        file.write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_and_the_checkpoint_before_is_used() {
        let progress = |change: &dyn Fn(&mut Progress)| {
            let mut progress = within_an_epoch().progress;
            change(&mut progress);
            serde_json::to_vec(&progress).unwrap()
        };
        for (name, bytes, words) in [
            (
                "assignments.safetensors",
                assignments_of("4000000000"),
                "4 values cannot need a bound of 4000000000",
            ),
            ("assignments.safetensors", assignments_of("18446744073709551615"), "4 values cannot"),
            ("assignments.safetensors", assignments_of("1"), "the value 1 is not below 1"),
            ("assignments.safetensors", assignments_of("-1"), "the bound of its values is missing"),
            (
                "progress.json",
                progress(&|progress| progress.metrics = None),
                "the numbers of the running epoch",
            ),
            ("progress.json", progress(&|progress| progress.epoch = 4), "epoch 3 in epoch 4"),
            ("head.safetensors", Vec::new(), "head.safetensors"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let earlier = Progress { epoch: 2, ..Progress::default() };
            Checkpoint { progress: earlier, ..within_an_epoch() }.save(folder.path()).unwrap();
            let newest = within_an_epoch().save(folder.path()).unwrap();
            assert_eq!(load(folder.path()).0.unwrap(), Some((3, 2)));
            forge(&newest, name, &bytes);
            let (place, warnings) = load(folder.path());
            assert_eq!(place.unwrap(), Some((2, 0)), "{name}, {words}");
            assert!(warnings[0].contains(words), "{warnings:?}");
        }
    }

    #[test]
    fn a_checkpoint_that_does_not_fit_is_passed_over_too() {
        let folder = tempfile::tempdir().unwrap();
        within_an_epoch().save(folder.path()).unwrap();
        let refuse = |_: Checkpoint| Err::<(), _>("too small".to_string());
        let error = Checkpoint::restore_newest(folder.path(), refuse, |_| {}).unwrap_err();
        assert!(
            matches!(&error, TrainerError::NoUsableCheckpoint { reason, .. } if reason.contains("too small"))
        );
    }

    #[test]
    fn the_newest_two_are_kept_and_nobody_elses_folder_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["epoch-best", "epoch-00001-step-0000000-mine", ".writing-a1B2c3"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for epoch in [9, 99_999, 100_000] {
            let progress = Progress { epoch, ..Progress::default() };
            Checkpoint { progress, ..within_an_epoch() }.save(folder.path()).unwrap();
        }
        remove_leftovers(folder.path());
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let kept = ["epoch-100000-step-0000000", "epoch-99999-step-0000000"];
        assert_eq!(names, ["epoch-00001-step-0000000-mine", kept[0], kept[1], "epoch-best"]);
        assert_eq!(load(folder.path()).0.unwrap(), Some((100_000, 0)));
    }
}
