//! State of a stopped task, from which it resumes: its progress and its arrays, in a safetensors file.

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

/// Key of the text entry: the checksum of the state in hexadecimal digits, a blank, and the progress as JSON.
/// States of version 1 have it under the key `progress`; their random numbers were others.
const PROGRESS: &str = "progress-2";
const PROGRESS_1: &str = "progress";

/// The state of a task between two of its steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskState<P> {
    pub(crate) progress: P,
    /// Weights, velocities and the like, of 32 bits, by name.
    pub(crate) arrays: BTreeMap<String, TensorData>,
}

impl<P> TaskState<P> {
    pub(crate) fn new(progress: P) -> Self {
        Self { progress, arrays: BTreeMap::new() }
    }

    /// Adds arrays, `prefix` before their names.
    pub(crate) fn insert(&mut self, prefix: &str, arrays: impl IntoIterator<Item = (String, TensorData)>) {
        self.arrays.extend(arrays.into_iter().map(|(name, data)| (format!("{prefix}{name}"), data)));
    }

    /// Removes and returns the arrays whose names have `prefix`, without it.
    pub(crate) fn take(&mut self, prefix: &str) -> BTreeMap<String, TensorData> {
        let taken = self.arrays.extract_if(.., |name, _| name.starts_with(prefix));
        taken.map(|(name, data)| (name[prefix.len()..].to_string(), data)).collect()
    }
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
        let progress = serde_json::to_string(&self.progress)?;
        let text = format!("{:08x} {progress}", checksum(&progress, &self.arrays));
        let texts = HashMap::from([(PROGRESS.to_string(), text)]);
        let mut end = 0;
        let mut infos = Vec::with_capacity(self.arrays.len());
        for (name, data) in &self.arrays {
            let start = end;
            end += data.as_bytes().len();
            let shape = data.shape().to_vec();
            infos.push((name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) }));
        }
        let metadata = Metadata::new(Some(texts), infos).map_err(io::Error::other)?;
        let mut header = serde_json::to_string(&metadata)?;
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        Ok(header)
    }

    /// Reads the state; `None` where there is none yet.
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
        let text = |key| header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        if text(PROGRESS).is_none() && text(PROGRESS_1).is_some() {
            return Err("it is the state of an earlier version, whose random numbers were others".to_string());
        }
        let (stored, progress) = text(PROGRESS)
            .and_then(|text| text.split_once(' '))
            .ok_or("its progress or its checksum is missing")?;
        let mut arrays = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(format!("the array '{name}' does not hold f32 values"));
            }
            let values: Vec<f32> = view
                .data()
                .chunks_exact(4)
                .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                .collect();
            arrays.insert(name, TensorData::new(values, view.shape().to_vec()));
        }
        if stored != format!("{:08x}", checksum(progress, &arrays)) {
            return Err("its checksum is not that of its contents".to_string());
        }
        let progress = serde_json::from_str(progress).map_err(|error| error.to_string())?;
        Ok(Self { progress, arrays })
    }
}

/// Checksum of everything in a state.
fn checksum(progress: &str, arrays: &BTreeMap<String, TensorData>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(progress.as_bytes());
    for (name, data) in arrays {
        hasher.update(format!("{name:?} {:?}", data.shape().to_vec()).as_bytes());
        hasher.update(data.as_bytes());
    }
    hasher.finalize()
}

/// Refuses velocities of other weights than `weights`, or of other sizes.
pub(crate) fn check_velocities(
    velocities: &BTreeMap<String, TensorData>,
    weights: &BTreeMap<String, TensorData>,
) -> Result<(), String> {
    for (name, velocity) in velocities {
        let size = weights.get(name).map(TensorData::num_elements);
        if size != Some(velocity.num_elements()) {
            return Err(format!("its velocity '{name}' does not have the size of the weight"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use deepcluster_damage::ReaderTest;

    use super::*;

    fn state() -> TaskState<Vec<u32>> {
        let array = |values: &[f32], shape: &[usize]| TensorData::new(values.to_vec(), shape.to_vec());
        let arrays =
            [("weight.a", array(&[1.0, -2.0, f32::NAN, 4.0, 5.5, 6.0], &[2, 3])), ("b", array(&[], &[0, 4]))];
        let arrays = arrays.map(|(name, data)| (name.to_string(), data));
        TaskState { progress: vec![7, 3], arrays: BTreeMap::from(arrays) }
    }

    #[test]
    fn states_read_back_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eval/state.safetensors");
        assert!(TaskState::<Vec<u32>>::load(&path).unwrap().is_none());
        let mut state = state();
        state.arrays.insert("weight.a".to_string(), TensorData::new(vec![1.0_f32, 2.0], [2, 1]));
        state.save(&path).unwrap();
        assert_eq!(TaskState::load(&path).unwrap().unwrap(), state);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = TaskState::<Vec<u32>>::load(&path).unwrap_err().to_string();
        assert!(error.contains("state.safetensors is damaged"), "{error}");
        assert_eq!(fs::read_dir(folder.path().join("eval")).unwrap().count(), 1);
        // The state of an earlier version: the same length, so that the header stays as it is.
        let place = bytes.windows(12).position(|window| window == b"\"progress-2\"").unwrap();
        let earlier = [&bytes[..place], b"\"progress\"  ", &bytes[place + 12..]].concat();
        fs::write(&path, earlier).unwrap();
        let error = TaskState::<Vec<u32>>::load(&path).unwrap_err().to_string();
        assert!(error.contains("an earlier version"), "{error}");
    }

    #[test]
    fn arrays_are_taken_by_their_prefix() {
        let mut state = state();
        let taken = state.take("weight.");
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(state.arrays.keys().collect::<Vec<_>>(), ["b"]);
        state.insert("weight.", taken);
        assert_eq!(state.arrays.keys().collect::<Vec<_>>(), ["b", "weight.a"]);
    }

    #[test]
    fn every_changed_bit_of_a_state_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        state().save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        // All but the blanks that fill the header, where others may stand.
        let places: Vec<usize> = (0..bytes.len()).filter(|&place| bytes[place] != b' ').collect();
        for (place, bit) in places.into_iter().flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            fs::write(&path, &changed).unwrap();
            assert!(TaskState::<Vec<u32>>::load(&path).is_err(), "bit {bit} of byte {place}");
        }
    }

    #[test]
    fn damaged_states_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sound.safetensors");
        state().save(&path).unwrap();
        let outcomes = ReaderTest::new("state.safetensors", [fs::read(&path).unwrap()])
            .num_cases(4_000)
            .memory(64, 64 << 10)
            .run(|path| {
                TaskState::<Vec<u32>>::load(path).inspect(|loaded| {
                    // Blanks may have changed, or nothing.
                    let loaded = loaded.as_ref().unwrap();
                    let bytes = |state: &TaskState<Vec<u32>>| {
                        state.arrays.values().map(|data| data.as_bytes().to_vec()).collect::<Vec<_>>()
                    };
                    assert_eq!((&loaded.progress, bytes(loaded)), (&state().progress, bytes(&state())));
                })
            });
        assert!(outcomes.num_refused > 0);
    }

    #[test]
    fn velocities_belong_to_weights() {
        let array = |len: usize| TensorData::new(vec![0.0_f32; len], [len]);
        let weights = BTreeMap::from([("a".to_string(), TensorData::new(vec![0.0_f32; 6], [2, 3]))]);
        let check =
            |name: &str, len| check_velocities(&BTreeMap::from([(name.to_string(), array(len))]), &weights);
        check("a", 6).unwrap();
        assert!(check("a", 5).unwrap_err().contains("'a'") && check("b", 6).unwrap_err().contains("'b'"));
    }
}
