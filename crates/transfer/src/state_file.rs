//! What a task needs to go on after a stop: its progress and its arrays, in a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use burn::tensor::TensorData;
use deepcluster_files::{create_folder, write_whole};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::TransferError;

/// Key of the text entry.
const PROGRESS: &str = "progress";

/// The state of a task between two of its steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskState<P> {
    pub(crate) progress: P,
    /// Weights, velocities and the like, of 32 bits, by name.
    pub(crate) arrays: BTreeMap<String, TensorData>,
}

impl<P: Serialize + DeserializeOwned> TaskState<P> {
    /// Writes the state whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> Result<(), TransferError> {
        let io = |source| TransferError::Io { action: "write", path: path.to_path_buf(), source };
        let header = self.header().map_err(io)?;
        create_folder(path.parent().unwrap_or(Path::new(""))).map_err(io)?;
        // Array by array: a state may be most of the memory there is.
        let write = |writer: &mut BufWriter<&fs::File>| {
            writer.write_all(&(header.len() as u64).to_le_bytes())?;
            writer.write_all(header.as_bytes())?;
            self.arrays.values().try_for_each(|data| writer.write_all(data.as_bytes()))
        };
        write_whole(path, write).map_err(io)
    }

    /// The header of the file, which fills multiples of 8 bytes.
    fn header(&self) -> io::Result<String> {
        let progress = HashMap::from([(PROGRESS.to_string(), serde_json::to_string(&self.progress)?)]);
        let mut end = 0;
        let mut infos = Vec::with_capacity(self.arrays.len());
        for (name, data) in &self.arrays {
            let start = end;
            end += data.as_bytes().len();
            let shape = data.shape().to_vec();
            infos.push((name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) }));
        }
        let metadata = Metadata::new(Some(progress), infos).map_err(io::Error::other)?;
        let mut header = serde_json::to_string(&metadata)?;
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        Ok(header)
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
        let path = folder.path().join("eval/state.safetensors");
        assert!(TaskState::<Vec<u32>>::load(&path).unwrap().is_none());
        let data = TensorData::new(vec![1.0_f32, 2.0], [2, 1]);
        let state = TaskState { progress: vec![7_u32, 3], arrays: BTreeMap::from([("a".to_string(), data)]) };
        state.save(&path).unwrap();
        assert_eq!(TaskState::load(&path).unwrap().unwrap(), state);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = TaskState::<Vec<u32>>::load(&path).unwrap_err().to_string();
        assert!(error.contains("state.safetensors is damaged"), "{error}");
        assert_eq!(fs::read_dir(folder.path().join("eval")).unwrap().count(), 1);
    }
}
