//! The folder of a run: layout, lock, settings and the location of its images.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use deepcluster_data::Location;
use deepcluster_files::{create_folder, remove_leftovers};
use deepcluster_models::{Architecture, NetworkInfo};
use serde::{Deserialize, Serialize};

use crate::error::TrainerError;
use crate::run::checkpoint::{self, Checkpoint};
use crate::run::files::write_atomic;
use crate::run::layout::{CHECKPOINTS, CONFIG_FILE, LOCK, RUN_FILE};
use crate::run::unbegun::{clear_unbegun, is_unbegun};
use crate::settings::config::TrainConfig;
use crate::settings::file::read_text;

/// Number of the layout and the file formats; it rises when older programs can no longer read a run.
/// The settings of format 1 had other names.
const FORMAT: u64 = 2;
/// The oldest that is read.
const OLDEST_FORMAT: u64 = 1;
/// A longer `run.json` is damage.
const MAX_RUN_FILE_BYTES: u64 = 1 << 20;

/// A run directory, held by one process at a time.
///
/// ```text
/// run.json             format, version, place of the images
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
    /// Held for as long as it is open.
    lock: Option<File>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RunFile {
    format: u64,
    version: String,
    /// Absent in a run that was imported without images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    images: Option<Location>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    imported: Option<Origin>,
    /// Absent where the settings describe it: in runs of older versions, and in imported ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<NetworkInfo>,
}

/// Origin of an imported run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file it was read from.
    pub file: PathBuf,
    /// Epochs it had been trained for.
    pub epoch: usize,
}

impl RunDirectory {
    /// Creates a new run in an empty or missing folder and locks it. A folder in which a run was about to
    /// begin when its process ended counts as empty.
    ///
    /// # Errors
    /// [`TrainerError::RunExists`], [`TrainerError::NotEmpty`], or [`TrainerError::Io`] where the folder
    /// cannot be written.
    pub fn create(path: &Path, images: &Location, config: &TrainConfig) -> Result<Self, TrainerError> {
        Self::create_with(path, Some(images), None, config, None)
    }

    /// As [`RunDirectory::create`], for a run that may have no images yet or begin with the state of another.
    pub(crate) fn create_with(
        path: &Path,
        images: Option<&Location>,
        imported: Option<(Origin, &Checkpoint)>,
        config: &TrainConfig,
        network: Option<NetworkInfo>,
    ) -> Result<Self, TrainerError> {
        let images = images.map(Location::absolute).transpose()?;
        create_folder(path).map_err(TrainerError::io("create", path))?;
        // Asked before the lock puts a file into a folder that may be somebody else's, and by its holder
        // again.
        refuse_taken(path)?;
        let run = Self { path: path.to_path_buf(), lock: Some(lock(path)?) };
        refuse_taken(path)?;
        clear_unbegun(path)?;
        run.write_config(config)?;
        let mut origin = None;
        if let Some((found, state)) = imported {
            state.save(&run.file(CHECKPOINTS))?;
            origin = Some(found);
        }
        // The last file: with it the folder is a run that can be resumed.
        run.write_run_file(&RunFile {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            images,
            imported: origin,
            network,
        })?;
        Ok(run)
    }

    /// Names the place of the images of a run that has none, or whose images have moved: it must hold them
    /// all.
    ///
    /// # Errors
    /// [`TrainerError::OtherImages`] where images of the run are missing from it,
    /// [`TrainerError::Data`] where it cannot be opened, [`TrainerError::RunLocked`], [`TrainerError::Io`].
    pub fn set_location(&self, location: &Location) -> Result<(), TrainerError> {
        let asked = location.absolute()?;
        let _lock = if self.lock.is_none() { Some(lock(&self.path)?) } else { None };
        let mut file = self.run_file()?;
        let images = match file.images.take() {
            Some(images) if images == asked => return Ok(()),
            Some(images) => images,
            None => asked.clone(),
        };
        if self.has_images() {
            self.refuse_missing(images, &asked)?;
        }
        file.images = Some(asked);
        self.write_run_file(&file)
    }

    /// Refuses a place that lacks images of the run, which were at `images`.
    fn refuse_missing(&self, images: Location, asked: &Location) -> Result<(), TrainerError> {
        let names = self.image_paths()?;
        let missing = asked.missing(&names)?;
        let Some(&first) = missing.first() else { return Ok(()) };
        Err(TrainerError::OtherImages {
            path: self.path.clone(),
            images,
            asked: asked.clone(),
            missing: names[first].clone(),
            num_missing: missing.len(),
            num_images: names.len(),
        })
    }

    /// Opens and locks an existing run to continue it. Removes temporary files of killed processes.
    ///
    /// # Errors
    /// [`TrainerError::NotARun`], [`TrainerError::OtherVersion`], [`TrainerError::RunLocked`].
    pub fn open_to_train(path: &Path) -> Result<Self, TrainerError> {
        let run = Self::open(path)?;
        let run = Self { lock: Some(lock(path)?), ..run };
        // A leftover that cannot be removed does no harm.
        let _ = remove_leftovers(path);
        checkpoint::remove_leftovers(&run.file(CHECKPOINTS));
        Ok(run)
    }

    /// Opens an existing run to read it.
    ///
    /// # Errors
    /// [`TrainerError::NotARun`], [`TrainerError::OtherVersion`].
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        let run = Self { path: path.to_path_buf(), lock: None };
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

    /// The place of the images the run was trained on.
    ///
    /// # Errors
    /// As [`RunDirectory::open`], and [`TrainerError::NoImages`] where the run was imported without images.
    pub fn location(&self) -> Result<Location, TrainerError> {
        self.run_file()?.images.ok_or_else(|| TrainerError::NoImages { path: self.path.clone() })
    }

    /// Origin of an imported run; `None` for others.
    ///
    /// # Errors
    /// As [`RunDirectory::open`].
    pub fn origin(&self) -> Result<Option<Origin>, TrainerError> {
        Ok(self.run_file()?.imported)
    }

    /// The network of the run: its name, layers and number of parameters.
    ///
    /// # Errors
    /// As [`RunDirectory::open`] and [`TrainConfig::load`].
    pub fn network(&self) -> Result<NetworkInfo, TrainerError> {
        match self.run_file()?.network {
            Some(network) => Ok(network),
            None => Ok(self.config()?.network()?.info()),
        }
    }

    /// Refuses a run of a network that the settings cannot name.
    pub(crate) fn refuse_custom_network(&self) -> Result<(), TrainerError> {
        let Some(network) = self.run_file()?.network else { return Ok(()) };
        if Architecture::ALL.iter().any(|architecture| architecture.name() == network.name) {
            return Ok(());
        }
        Err(TrainerError::OtherNetwork { path: self.path.clone(), network: network.name })
    }

    /// The settings of the run, whichever format it has.
    ///
    /// # Errors
    /// As [`TrainConfig::load`].
    pub fn config(&self) -> Result<TrainConfig, TrainerError> {
        let path = self.file(CONFIG_FILE);
        let origin = path.display().to_string();
        match read_text(&path) {
            Ok(text) => TrainConfig::from_run(&text, &origin),
            Err(reason) => Err(TrainerError::UnreadableConfig { origin, reason }),
        }
    }

    /// Whether an earlier program wrote the run, and nothing has been trained in it since.
    pub(crate) fn is_of_earlier_format(&self) -> Result<bool, TrainerError> {
        Ok(self.run_file()?.format < FORMAT)
    }

    /// Raises the format of a run whose settings are in the present form already: as the form of the settings
    /// shows in their file, a run between the two writes is one of either format.
    pub(crate) fn take_present_format(&self) -> Result<(), TrainerError> {
        let (format, version) = (FORMAT, env!("CARGO_PKG_VERSION").to_string());
        self.write_run_file(&RunFile { format, version, ..self.run_file()? })
    }

    pub(crate) fn write_config(&self, config: &TrainConfig) -> Result<(), TrainerError> {
        write_atomic(&self.file(CONFIG_FILE), |writer| writer.write_all(config.to_toml().as_bytes()))
    }

    fn write_run_file(&self, file: &RunFile) -> Result<(), TrainerError> {
        let text = serde_json::to_string_pretty(file)
            .map_err(|error| self.damaged("run.json", format!("cannot be written: {error}")))?;
        write_atomic(&self.file(RUN_FILE), |writer| writeln!(writer, "{text}"))
    }

    fn run_file(&self) -> Result<RunFile, TrainerError> {
        let not_a_run = |reason: String| TrainerError::NotARun { path: self.path.clone(), reason };
        let in_file = |error: &dyn std::fmt::Display| not_a_run(format!("run.json: {error}"));
        let mut text = String::new();
        let read = File::open(self.file(RUN_FILE))
            .and_then(|file| file.take(MAX_RUN_FILE_BYTES).read_to_string(&mut text));
        if text.is_empty() && is_unbegun(&self.path) {
            return Err(TrainerError::NotBegun { path: self.path.clone() });
        }
        read.map_err(|error| in_file(&error))?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| in_file(&error))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(OLDEST_FORMAT..=FORMAT) => {}
            Some(found) => {
                return Err(TrainerError::OtherVersion { path: self.path.clone(), found, supported: FORMAT });
            }
            None => return Err(not_a_run("run.json has no format number".to_string())),
        }
        serde_json::from_value(value).map_err(|error| in_file(&error))
    }

    pub(crate) fn damaged(&self, name: &str, reason: String) -> TrainerError {
        TrainerError::Damaged { path: self.file(name), reason }
    }
}

/// Refuses a folder that holds a run, or anything else.
fn refuse_taken(path: &Path) -> Result<(), TrainerError> {
    let path = path.to_path_buf();
    if is_unbegun(&path) {
        Ok(())
    } else if path.join(RUN_FILE).exists() {
        Err(TrainerError::RunExists { path })
    } else {
        Err(TrainerError::NotEmpty { path })
    }
}

fn lock(path: &Path) -> Result<File, TrainerError> {
    let file_path = path.join(LOCK);
    let file = File::create(&file_path).map_err(TrainerError::io("write", &file_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(TrainerError::RunLocked { path: path.to_path_buf() }),
        // Some network file systems have no locks; runs there are not locked.
        Err(fs::TryLockError::Error(error)) => {
            log::warn!("{} cannot be locked ({error}); do not train it twice at once", path.display());
            Ok(file)
        }
    }
}
