//! What probes need to go on after a stop: written after every epoch, in a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

use burn::tensor::TensorData;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::TransferError;
use crate::linear_probe::{LayerCurve, LinearProbeConfig};

/// Key of the text entry.
const PROGRESS: &str = "progress";

/// The state of all probes between two epochs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProbeState {
    pub(crate) progress: ProbeProgress,
    /// Weights and velocities by layer, kind and name.
    pub(crate) arrays: BTreeMap<String, TensorData>,
}

/// How far the probes are, and of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProbeProgress {
    pub(crate) config: LinearProbeConfig,
    /// Sum of the network's weights and of the names of the images, which must be those of before.
    pub(crate) fingerprint: u32,
    pub(crate) num_steps: usize,
    pub(crate) curves: Vec<LayerCurve>,
}

impl ProbeState {
    /// Writes the state to a temporary file beside `path` and renames it.
    pub(crate) fn save(&self, path: &Path) -> Result<(), TransferError> {
        let io = |source| TransferError::Io { action: "write", path: path.to_path_buf(), source };
        let text = serde_json::to_string(&self.progress).map_err(|error| io(error.into()))?;
        let metadata = HashMap::from([(PROGRESS.to_string(), text)]);
        let mut buffers: Vec<(&String, Vec<usize>, Vec<u8>)> = Vec::with_capacity(self.arrays.len());
        for (name, data) in &self.arrays {
            let values = data.as_slice::<f32>();
            let values =
                values.map_err(|error| TransferError::device("while saving probes", format!("{error:?}")))?;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            buffers.push((name, data.shape().to_vec(), bytes));
        }
        let mut views = Vec::with_capacity(buffers.len());
        for buffer in &buffers {
            let (name, shape, bytes) = buffer;
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            views.push((name.as_str(), view.map_err(|error| io(std::io::Error::other(error)))?));
        }
        let bytes = safetensors::serialize(views, Some(metadata));
        let bytes = bytes.map_err(|error| io(std::io::Error::other(error)))?;
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let attempt = || -> std::io::Result<()> {
            fs::create_dir_all(folder)?;
            let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        attempt().map_err(io)
    }

    /// Reads the state, or gives `None` where there is none yet.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, TransferError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(TransferError::Io { action: "read", path: path.to_path_buf(), source });
            }
        };
        let damaged = |reason: String| TransferError::Damaged { path: path.to_path_buf(), reason };
        Self::from_bytes(&bytes).map(Some).map_err(damaged)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(PROGRESS));
        let text = text.ok_or("its progress is missing")?;
        let progress = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut arrays = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(format!("the array '{name}' holds no f32"));
            }
            let values: Vec<f32> = view
                .data()
                .chunks_exact(4)
                .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                .collect();
            arrays.insert(name, TensorData::new(values, view.shape().to_vec()));
        }
        Ok(Self { progress, arrays })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn states_read_back_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eval/probes.safetensors");
        assert!(ProbeState::load(&path).unwrap().is_none());
        let state = ProbeState {
            progress: ProbeProgress {
                config: LinearProbeConfig::default(),
                fingerprint: 7,
                num_steps: 3,
                curves: Vec::new(),
            },
            arrays: BTreeMap::from([("a".to_string(), TensorData::new(vec![1.0_f32, 2.0], [2, 1]))]),
        };
        state.save(&path).unwrap();
        assert_eq!(ProbeState::load(&path).unwrap().unwrap(), state);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(ProbeState::load(&path).unwrap_err().to_string().contains("probes.safetensors is damaged"));
        assert_eq!(fs::read_dir(folder.path().join("eval")).unwrap().count(), 1);
    }
}
