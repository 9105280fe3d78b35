//! The results of a finished run and whether they belong together.
//!
//! `model.safetensors` and `features.safetensors` bear a mark: the epoch, the identity of the model, and the
//! digests of the tables they belong to. Files of the earlier program, which bear none, are compared by what
//! they hold.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use deepcluster_files::sync_folder;
use serde::Deserialize;

use crate::error::TrainerError;
use crate::run::digest::file_digest;
use crate::run::directory::RunDirectory;
use crate::run::tensor_file::TensorFile;
use crate::settings::changes::first_change;
use crate::settings::config::TrainConfig;

pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const FEATURES: &str = "features.safetensors";
/// The tables that results belong to.
const TABLES: [&str; 2] = ["images.csv", "assignments.csv"];

/// Text entry of the model with the settings of its run.
pub(crate) const CONFIG: &str = "config";
const FORMAT: &str = "format";
/// Format of marked files; it rises when this program can no longer check them.
const MARKED: &str = "2";
const EPOCH: &str = "epoch";
const IDENTITY: &str = "identity";

/// Text of a safetensors header that is read; the format allows as much.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The common mark of the files of one result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResultMark {
    /// Epochs of training behind the model.
    epoch: usize,
    /// Digest of the arrays of the model.
    identity: String,
    /// Digests of the tables by their names.
    tables: BTreeMap<String, String>,
}

impl ResultMark {
    /// The mark of a model with this digest and of the tables that lie in the run.
    pub(crate) fn new(run: &RunDirectory, epoch: usize, identity: String) -> Result<Self, TrainerError> {
        let digest = |name: &str| {
            let path = run.file(name);
            file_digest(&path)
                .map(|digest| (name.to_string(), digest))
                .map_err(TrainerError::io("read", path))
        };
        Ok(Self { epoch, identity, tables: TABLES.into_iter().map(digest).collect::<Result<_, _>>()? })
    }

    /// Writes the mark into the header of a file, and the checksum of all of it.
    pub(crate) fn seal(&self, file: &mut TensorFile<'_>) -> std::io::Result<()> {
        let entries = [
            (FORMAT, MARKED.to_string()),
            (EPOCH, self.epoch.to_string()),
            (IDENTITY, self.identity.clone()),
        ];
        file.metadata.extend(entries.map(|(key, value)| (key.to_string(), value)));
        file.metadata.extend(self.tables.clone());
        file.seal()
    }

    /// Reads the mark of a file with these text entries but for its checksum; `None` for one of the earlier
    /// program. Entries are known or refused, so that damage to a name does not make a file one of the
    /// earlier program.
    fn read(entries: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let mut entries = entries.clone();
        entries.remove(CONFIG);
        if entries.is_empty() {
            return Ok(None);
        }
        let mut take = |key: &str| {
            entries.remove(key).ok_or_else(|| format!("the entry '{key}' of its header is missing"))
        };
        let format = take(FORMAT)?;
        if format != MARKED {
            return Err(format!("it has the format {format}, and this program knows {MARKED}"));
        }
        let epoch = take(EPOCH)?.parse().map_err(|_| "its epoch is no number".to_string())?;
        let identity = take(IDENTITY)?;
        let tables: BTreeMap<String, String> = TABLES
            .into_iter()
            .map(|name| take(name).map(|digest| (name.to_string(), digest)))
            .collect::<Result<_, _>>()?;
        match entries.keys().next() {
            Some(key) => Err(format!("the entry '{key}' of its header is unknown")),
            None => Ok(Some(Self { epoch, identity, tables })),
        }
    }
}

/// Reads a result as a whole and checks it against its checksum, which only files of the earlier program
/// lack.
pub(crate) fn open_sealed(bytes: &[u8]) -> Result<TensorFile<'_>, String> {
    let mut file = TensorFile::from_bytes(bytes)?;
    let is_sealed = file.check_seal()?;
    if ResultMark::read(&file.metadata)?.is_some() != is_sealed {
        return Err("the checksum in its header is missing".to_string());
    }
    Ok(file)
}

/// The bytes of a result, once its header has been compared with the length of the file.
pub(crate) fn read_result(path: &Path) -> Result<Vec<u8>, TrainerError> {
    Header::read(path)?;
    fs::read(path).map_err(TrainerError::io("read", path))
}

/// The header of a safetensors file, which suffices to see what belongs together.
#[derive(Debug, Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    entries: BTreeMap<String, String>,
    #[serde(flatten)]
    arrays: BTreeMap<String, ArrayPlace>,
}

#[derive(Debug, Deserialize)]
struct ArrayPlace {
    data_offsets: (u64, u64),
}

impl Header {
    fn read(path: &Path) -> Result<Self, TrainerError> {
        let damaged = |reason: String| damaged_result(path, reason);
        let mut file = File::open(path).map_err(TrainerError::io("read", path))?;
        let file_bytes = file.metadata().map_err(TrainerError::io("read", path))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| damaged("it is cut off".to_string()))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES.min(file_bytes - 8) {
            return Err(damaged("its header is longer than the file".to_string()));
        }
        let mut text = Vec::new();
        file.take(length).read_to_end(&mut text).map_err(TrainerError::io("read", path))?;
        let header: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let array_bytes = header.arrays.values().map(|array| array.data_offsets.1).max().unwrap_or(0);
        if array_bytes.checked_add(8 + length) != Some(file_bytes) {
            let there = file_bytes - 8 - length;
            return Err(damaged(format!(
                "its header describes {array_bytes} bytes of data, and {there} are there"
            )));
        }
        Ok(header)
    }

    /// The mark, of which the checksum is left to those who read the whole file.
    fn mark(&self, path: &Path) -> Result<Option<ResultMark>, TrainerError> {
        let mut entries = self.entries.clone();
        entries.remove("checksum");
        ResultMark::read(&entries).map_err(|reason| damaged_result(path, reason))
    }
}

/// A result that can be recreated from the last checkpoint.
pub(crate) fn damaged_result(path: &Path, reason: String) -> TrainerError {
    TrainerError::Damaged {
        path: path.to_path_buf(),
        reason: format!("{reason}; resume the run to write it again"),
    }
}

impl RunDirectory {
    /// Whether the run has its model, and all files that belong to it are those of one result.
    ///
    /// Only headers and tables are read: the checksums of the model and the features are compared when they
    /// are read.
    ///
    /// # Errors
    /// [`TrainerError::Mixed`] where files of two results lie beside each other, [`TrainerError::Damaged`]
    /// where a header cannot be read, [`TrainerError::Io`], and those of [`RunDirectory::config`].
    pub fn is_finished(&self) -> Result<bool, TrainerError> {
        let path = self.file(MODEL);
        if !exists(&path)? {
            return Ok(false);
        }
        let model = Header::read(&path)?;
        let mark = model.mark(&path)?;
        self.compare_settings(&model, mark.as_ref())?;
        let features = self.file(FEATURES);
        if exists(&features)? && Header::read(&features)?.mark(&features)? != mark {
            let reason = "they are of two trainings".to_string();
            return Err(self.mixed(MODEL, FEATURES, reason));
        }
        let Some(mark) = mark else { return Ok(true) };
        for (name, expected) in &mark.tables {
            let table = self.file(name);
            // A model is valid without its tables, as when only the files for `assign` were copied.
            if exists(&table)? && file_digest(&table).map_err(TrainerError::io("read", &table))? != *expected
            {
                return Err(self.mixed(
                    MODEL,
                    name,
                    format!("{name} is not the one the model was saved with"),
                ));
            }
        }
        Ok(true)
    }

    /// Refuses a model that was trained with other settings, or for another number of epochs, than the run
    /// has.
    fn compare_settings(&self, model: &Header, mark: Option<&ResultMark>) -> Result<(), TrainerError> {
        let path = self.file(MODEL);
        let config = self.config()?;
        let Some(text) = model.entries.get(CONFIG) else {
            return Err(damaged_result(&path, "its settings are missing".to_string()));
        };
        let trained = TrainConfig::from_run(text, "its settings")
            .map_err(|error| damaged_result(&path, error.to_string()))?;
        let epoch = mark.map_or(trained.training.epochs, |mark| mark.epoch);
        if epoch != config.training.epochs {
            let reason = format!(
                "the model has been trained for {epoch} epochs, and the run is set to {}",
                config.training.epochs
            );
            return Err(self.mixed(MODEL, "config.toml", reason));
        }
        match first_change(&config, &trained) {
            None => Ok(()),
            Some((key, in_file, trained)) => {
                let reason = format!("{key} is {trained} for the model and {in_file} in config.toml");
                Err(self.mixed(MODEL, "config.toml", reason))
            }
        }
    }

    /// Epochs of training behind the model, where there is one whose header can be read.
    pub(crate) fn epochs_of_model(&self) -> Option<usize> {
        let path = self.file(MODEL);
        let header = Header::read(&path).ok()?;
        match header.mark(&path).ok()? {
            Some(mark) => Some(mark.epoch),
            None => Some(TrainConfig::from_run(header.entries.get(CONFIG)?, "").ok()?.training.epochs),
        }
    }

    /// Refuses a file with another number of rows than `images.csv`, which all files of a run follow row by
    /// row.
    pub(crate) fn expect_rows(
        &self,
        name: &str,
        num_rows: usize,
        num_images: usize,
    ) -> Result<(), TrainerError> {
        if num_rows == num_images {
            return Ok(());
        }
        let reason = format!("{name} has {num_rows} rows, images.csv has {num_images}");
        Err(self.mixed("images.csv", name, reason))
    }

    pub(crate) fn mixed(&self, first: &'static str, second: &str, reason: String) -> TrainerError {
        TrainerError::Mixed { path: self.path().to_path_buf(), first, second: second.to_string(), reason }
    }

    /// Removes the results before the run continues, the model first: without it the run is not finished.
    /// The line of the last clustering goes too, which is written again once that epoch has been trained.
    pub(crate) fn retire_results(&self) -> Result<(), TrainerError> {
        let (mut metrics, mut timings) = (self.metrics()?, self.timings()?);
        for name in [MODEL, FEATURES] {
            let path = self.file(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                removed => removed.map_err(TrainerError::io("remove", &path))?,
            }
            sync_folder(self.path()).map_err(TrainerError::io("write", self.path()))?;
        }
        let Some(last) = metrics.pop_if(|last| last.loss.is_none()) else { return Ok(()) };
        timings.retain(|line| line.epoch < last.epoch);
        self.write_epochs(&metrics, &timings)
    }
}

/// Whether there is a file; a folder that cannot be searched is an error and not an unfinished run.
fn exists(path: &Path) -> Result<bool, TrainerError> {
    path.try_exists().map_err(TrainerError::io("read", path))
}
