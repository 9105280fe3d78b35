//! The folder of a run: its layout, its lock, and its text files.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use deepcluster_data::{ImageFolder, Labels, SkippedFile};
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::TrainerError;
use crate::files::{path_bytes, path_from_bytes, write_atomic};
use crate::metrics::{EpochMetrics, EpochTimings};

/// Number of the layout and the file formats; it rises when an older program could not read a run any more.
const FORMAT: u64 = 1;

/// A run directory, held by one process at a time.
///
/// ```text
/// run.json             format, version, folder of the images
/// config.toml          the settings
/// images.csv           path,label: the images in the order of every other file
/// skipped.csv          path,reason: files that could not be read
/// metrics.jsonl        one line per epoch: loss, NMI, cluster sizes, ...
/// timings.jsonl        one line per epoch: seconds and images per second
/// assignments.csv      path,cluster,distance of the newest clustering
/// model.safetensors    network, PCA and centroids, once the run is finished
/// features.safetensors whitened features of every image, once the run is finished
/// checkpoints/         the newest two checkpoints
/// tensorboard/         the numbers of every epoch as an event file of TensorBoard
/// ```
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    _lock: Option<File>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RunFile {
    format: u64,
    version: String,
    /// Absent in a run that was imported without images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    images: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    imported: Option<Origin>,
}

/// Where an imported run comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file it was read from.
    pub file: PathBuf,
    /// Epochs it had been trained for.
    pub epoch: usize,
}

impl RunDirectory {
    /// Creates a new run in an empty or missing folder and locks it.
    ///
    /// # Errors
    /// [`TrainerError::RunExists`], [`TrainerError::NotEmpty`], or [`TrainerError::Io`] where the folder cannot be
    /// written.
    pub fn create(path: &Path, images_root: &Path, config: &TrainConfig) -> Result<Self, TrainerError> {
        Self::create_with(path, Some(images_root), None, config)
    }

    pub(crate) fn create_with(
        path: &Path,
        images_root: Option<&Path>,
        imported: Option<Origin>,
        config: &TrainConfig,
    ) -> Result<Self, TrainerError> {
        fs::create_dir_all(path).map_err(TrainerError::io("create", path))?;
        if path.join("run.json").exists() {
            return Err(TrainerError::RunExists { path: path.to_path_buf() });
        }
        let mut entries = fs::read_dir(path).map_err(TrainerError::io("read", path))?;
        // A run killed before its first file leaves the lock, which does not count.
        if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lock")) {
            return Err(TrainerError::NotEmpty { path: path.to_path_buf() });
        }
        let run = Self { path: path.to_path_buf(), _lock: Some(lock(path)?) };
        let images = images_root.map(absolute).transpose()?;
        run.write_config(config)?;
        run.write_run_file(&RunFile {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            images,
            imported,
        })?;
        Ok(run)
    }

    /// Names the folder of images of a run that was imported without one.
    ///
    /// # Errors
    /// [`TrainerError::OtherImages`] where the run has another folder already, [`TrainerError::Io`].
    pub fn set_images_root(&self, images_root: &Path) -> Result<(), TrainerError> {
        let mut file = self.run_file()?;
        let asked = absolute(images_root)?;
        match &file.images {
            Some(images) if *images == asked => Ok(()),
            Some(images) => {
                Err(TrainerError::OtherImages { path: self.path.clone(), images: images.clone(), asked })
            }
            None => {
                file.images = Some(asked);
                self.write_run_file(&file)
            }
        }
    }

    /// Opens an existing run and locks it, to go on with it.
    ///
    /// # Errors
    /// [`TrainerError::NotARun`], [`TrainerError::OtherVersion`], [`TrainerError::RunLocked`].
    pub fn open_to_train(path: &Path) -> Result<Self, TrainerError> {
        let run = Self::open(path)?;
        Ok(Self { _lock: Some(lock(path)?), ..run })
    }

    /// Opens an existing run to read it.
    ///
    /// # Errors
    /// [`TrainerError::NotARun`], [`TrainerError::OtherVersion`].
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        let run = Self { path: path.to_path_buf(), _lock: None };
        run.run_file()?;
        Ok(run)
    }

    /// The folder of the run.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder of images the run was trained on.
    ///
    /// # Errors
    /// As [`RunDirectory::open`], and [`TrainerError::NoImages`] where the run was imported without images.
    pub fn images_root(&self) -> Result<PathBuf, TrainerError> {
        self.run_file()?.images.ok_or_else(|| TrainerError::NoImages { path: self.path.clone() })
    }

    /// Where an imported run comes from; `None` for a run that was begun here.
    ///
    /// # Errors
    /// As [`RunDirectory::open`].
    pub fn origin(&self) -> Result<Option<Origin>, TrainerError> {
        Ok(self.run_file()?.imported)
    }

    /// The settings of the run.
    ///
    /// # Errors
    /// As [`TrainConfig::load`].
    pub fn config(&self) -> Result<TrainConfig, TrainerError> {
        TrainConfig::load(&self.file("config.toml"))
    }

    pub(crate) fn write_config(&self, config: &TrainConfig) -> Result<(), TrainerError> {
        write_atomic(&self.file("config.toml"), |writer| writer.write_all(config.to_toml().as_bytes()))
    }

    /// Writes the list of images and of skipped files.
    pub(crate) fn write_images(&self, images: &ImageFolder) -> Result<(), TrainerError> {
        let labels = images.labels();
        write_atomic(&self.file("skipped.csv"), |writer| {
            let mut csv = csv::Writer::from_writer(writer);
            csv.write_record(["path", "reason"])?;
            for skipped in images.skipped() {
                csv.write_record([&*path_bytes(&skipped.path), skipped.reason.as_bytes()])?;
            }
            csv.flush()
        })?;
        write_atomic(&self.file("images.csv"), |writer| {
            let mut csv = csv::Writer::from_writer(writer);
            csv.write_record(["path", "label"])?;
            for index in 0..images.len() {
                let label = labels.and_then(|labels| {
                    labels.of_image[index].map(|label| labels.names[label as usize].as_bytes())
                });
                csv.write_record([&*path_bytes(images.relative_path(index)), label.unwrap_or_default()])?;
            }
            csv.flush()
        })
    }

    /// The images of the run in their order, with the labels they had.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] where the list cannot be read.
    pub fn images(&self) -> Result<ImageFolder, TrainerError> {
        let row = |record: csv::ByteRecord| {
            let label = record.get(1).unwrap_or_default();
            let label = (!label.is_empty()).then(|| String::from_utf8_lossy(label).into_owned());
            Ok((path_from_bytes(&record[0]), label))
        };
        let (paths, label_names): (Vec<PathBuf>, Vec<Option<String>>) =
            self.read_table("images.csv", row)?.into_iter().unzip();
        let mut names: Vec<String> = label_names.iter().flatten().cloned().collect();
        names.sort_unstable();
        names.dedup();
        let number = |name: &String| names.binary_search(name).ok().map(|index| index as u32);
        let of_image = label_names.iter().map(|name| name.as_ref().and_then(number)).collect();
        let labels = (!names.is_empty()).then_some(Labels { names, of_image });
        Ok(ImageFolder::from_paths(self.images_root()?, paths, labels))
    }

    /// Files that were passed over, and why.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] where the list cannot be read.
    pub fn skipped(&self) -> Result<Vec<SkippedFile>, TrainerError> {
        let skipped = |record: csv::ByteRecord| {
            let reason = String::from_utf8_lossy(record.get(1).unwrap_or_default()).into_owned();
            Ok(SkippedFile { path: path_from_bytes(&record[0]), reason })
        };
        self.read_table("skipped.csv", skipped)
    }

    /// Cluster of each image by the latest clustering, in the order of [`images`](Self::images), and its distance to
    /// the centre of the cluster.
    ///
    /// # Errors
    /// [`TrainerError::Unfinished`] where nothing has been clustered yet, [`TrainerError::Damaged`] where the list cannot
    /// be read.
    pub fn assignments(&self) -> Result<Vec<(u32, f32)>, TrainerError> {
        if !self.file("assignments.csv").exists() {
            return Err(TrainerError::Unfinished { path: self.path.clone() });
        }
        let assignment = |record: csv::ByteRecord| {
            let field = |column| String::from_utf8_lossy(record.get(column).unwrap_or_default());
            let (cluster, distance) = (field(1).parse(), field(2).parse());
            cluster
                .ok()
                .zip(distance.ok())
                .ok_or_else(|| format!("'{}' is no cluster with a distance", field(1)))
        };
        self.read_table("assignments.csv", assignment)
    }

    /// The rows of a CSV file below its header.
    fn read_table<T>(
        &self,
        name: &str,
        read: impl Fn(csv::ByteRecord) -> Result<T, String>,
    ) -> Result<Vec<T>, TrainerError> {
        let damaged = |error: csv::Error| self.damaged(name, error.to_string());
        let mut reader = csv::Reader::from_path(self.file(name)).map_err(damaged)?;
        let mut rows = Vec::new();
        for record in reader.byte_records() {
            rows.push(read(record.map_err(damaged)?).map_err(|reason| self.damaged(name, reason))?);
        }
        Ok(rows)
    }

    /// Whether the list of images has been written, which happens after every image has been read once.
    pub(crate) fn has_images(&self) -> bool {
        self.file("images.csv").exists()
    }

    /// Writes `path,cluster,distance`, the distance being that of the whitened features to their centroid.
    pub(crate) fn write_assignments(
        &self,
        images: &ImageFolder,
        labels: &[u32],
        squared_distances: &[f32],
    ) -> Result<(), TrainerError> {
        let rows = (0..images.len())
            .map(|index| (images.relative_path(index), labels[index], squared_distances[index]));
        write_assignments(&self.file("assignments.csv"), rows)
    }

    /// The lines of `metrics.jsonl`.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] with the line.
    pub fn metrics(&self) -> Result<Vec<EpochMetrics>, TrainerError> {
        self.read_lines("metrics.jsonl")
    }

    /// The lines of `timings.jsonl`.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] with the line.
    pub fn timings(&self) -> Result<Vec<EpochTimings>, TrainerError> {
        self.read_lines("timings.jsonl")
    }

    /// Adds an epoch to both logs. The files are replaced whole, so that a killed process leaves no half line.
    pub(crate) fn append_epoch(
        &self,
        metrics: &EpochMetrics,
        timings: &EpochTimings,
    ) -> Result<(), TrainerError> {
        let mut all_timings = self.timings()?;
        all_timings.retain(|line| line.epoch < metrics.epoch);
        all_timings.push(*timings);
        self.write_lines("timings.jsonl", &all_timings)?;
        let mut all_metrics = self.metrics()?;
        all_metrics.retain(|line| line.epoch < metrics.epoch);
        all_metrics.push(metrics.clone());
        self.write_lines("metrics.jsonl", &all_metrics)
    }

    fn read_lines<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Vec<T>, TrainerError> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let file = File::open(&path).map_err(TrainerError::io("read", &path))?;
        let mut lines = Vec::new();
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(TrainerError::io("read", &path))?;
            let value = serde_json::from_str(&line)
                .map_err(|error| self.damaged(name, format!("line {}: {error}", index + 1)))?;
            lines.push(value);
        }
        Ok(lines)
    }

    fn write_lines<T: Serialize>(&self, name: &str, lines: &[T]) -> Result<(), TrainerError> {
        write_atomic(&self.file(name), |writer| {
            for line in lines {
                serde_json::to_writer(&mut *writer, line)?;
                writer.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    fn write_run_file(&self, file: &RunFile) -> Result<(), TrainerError> {
        let text = serde_json::to_string_pretty(file)
            .map_err(|error| self.damaged("run.json", format!("cannot be written: {error}")))?;
        write_atomic(&self.file("run.json"), |writer| writeln!(writer, "{text}"))
    }

    fn run_file(&self) -> Result<RunFile, TrainerError> {
        let not_a_run = |reason: String| TrainerError::NotARun { path: self.path.clone(), reason };
        let text = fs::read_to_string(self.file("run.json"))
            .map_err(|error| not_a_run(format!("run.json: {error}")))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| not_a_run(format!("run.json: {error}")))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(TrainerError::OtherVersion { path: self.path.clone(), found, supported: FORMAT });
            }
            None => return Err(not_a_run("run.json has no format number".to_string())),
        }
        serde_json::from_value(value).map_err(|error| not_a_run(format!("run.json: {error}")))
    }

    fn damaged(&self, name: &str, reason: String) -> TrainerError {
        TrainerError::Damaged { path: self.file(name), reason }
    }
}

/// Writes a CSV of `path,cluster,distance` (the distance is the root of the squared one) to the file `path`.
///
/// # Errors
/// [`TrainerError::Io`]; the file is complete or absent.
pub fn write_assignments<'a>(
    path: &Path,
    rows: impl Iterator<Item = (&'a Path, u32, f32)>,
) -> Result<(), TrainerError> {
    write_atomic(path, |writer| write_assignments_to(writer, rows))
}

/// As [`write_assignments`], to any writer.
///
/// # Errors
/// Those of the writer.
pub fn write_assignments_to<'a>(
    writer: impl Write,
    rows: impl Iterator<Item = (&'a Path, u32, f32)>,
) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(["path", "cluster", "distance"])?;
    for (path, cluster, squared_distance) in rows {
        let distance = squared_distance.max(0.0).sqrt().to_string();
        csv.write_record([&*path_bytes(path), cluster.to_string().as_bytes(), distance.as_bytes()])?;
    }
    csv.flush()
}

fn absolute(images_root: &Path) -> Result<PathBuf, TrainerError> {
    fs::canonicalize(images_root).map_err(TrainerError::io("open", images_root))
}

fn lock(path: &Path) -> Result<File, TrainerError> {
    let file_path = path.join("lock");
    let file = File::create(&file_path).map_err(TrainerError::io("write", &file_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(TrainerError::RunLocked { path: path.to_path_buf() }),
        // Some network file systems have no locks; a run there goes without.
        Err(fs::TryLockError::Error(error)) => {
            log::warn!("{} cannot be locked ({error}); do not train it twice at once", path.display());
            Ok(file)
        }
    }
}
