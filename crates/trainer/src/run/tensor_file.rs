//! Named arrays in the safetensors format, checked when read.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use burn::tensor::TensorData;
use safetensors::tensor::{Dtype, SafeTensors};

use crate::run::digest::DigestWriter;

/// Text entry with the digest of everything else in the file.
const CHECKSUM: &str = "checksum";

/// An array of 32-bit values, halves or bytes, in little-endian order; large ones are borrowed from what they
/// describe.
#[derive(Debug, Clone)]
pub(crate) struct Array<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Cow<'a, [u8]>,
}

impl<'a> Array<'a> {
    pub(crate) fn from_u8(bytes: Vec<u8>) -> Self {
        Self { dtype: Dtype::U8, shape: vec![bytes.len()], bytes: bytes.into() }
    }

    pub(crate) fn from_u32(values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::U32, shape: vec![values.len()], bytes }
    }

    pub(crate) fn from_f16(shape: Vec<usize>, values: impl Iterator<Item = f32>) -> Self {
        let bytes = values.flat_map(|value| half::f16::from_f32(value).to_le_bytes()).collect();
        Self { dtype: Dtype::F16, shape, bytes }
    }

    /// The values of a tensor, or `None` if they are not f32.
    pub(crate) fn from_data(data: &'a TensorData) -> Option<Self> {
        let values = data.as_slice::<f32>().ok()?;
        let bytes = if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(values))
        } else {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        Some(Self { dtype: Dtype::F32, shape: data.shape().to_vec(), bytes })
    }

    pub(crate) fn to_u32(&self) -> Result<Vec<u32>, String> {
        self.expect(Dtype::U32)?;
        Ok(self.words().map(u32::from_le_bytes).collect())
    }

    /// Values of an f32 or f16 array.
    pub(crate) fn to_f32(&self) -> Result<Vec<f32>, String> {
        if self.dtype == Dtype::F16 {
            let halves = self.bytes.chunks_exact(2);
            return Ok(halves.map(|half| half::f16::from_le_bytes([half[0], half[1]]).to_f32()).collect());
        }
        self.expect(Dtype::F32)?;
        Ok(self.words().map(f32::from_le_bytes).collect())
    }

    pub(crate) fn to_data(&self) -> Result<TensorData, String> {
        Ok(TensorData::new(self.to_f32()?, self.shape.clone()))
    }

    fn words(&self) -> impl Iterator<Item = [u8; 4]> {
        self.bytes.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]])
    }

    fn expect(&self, dtype: Dtype) -> Result<(), String> {
        if self.dtype == dtype { Ok(()) } else { Err(format!("expected {dtype:?}, found {:?}", self.dtype)) }
    }
}

/// Named arrays with text entries beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct TensorFile<'a> {
    pub(crate) arrays: BTreeMap<String, Array<'a>>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl<'a> TensorFile<'a> {
    /// Writes the file without a second copy of the arrays; equal contents give equal bytes, which the
    /// safetensors crate does not promise for more than one text entry.
    pub(crate) fn write_to(&self, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        // Wide types first, as the format asks for aligned data.
        let mut arrays: Vec<(&String, &Array)> = self.arrays.iter().collect();
        arrays.sort_by_key(|(name, array)| (Reverse(array.dtype), *name));
        let mut entries = Vec::with_capacity(arrays.len() + 1);
        if !self.metadata.is_empty() {
            entries.push(format!("\"__metadata__\":{}", serde_json::to_string(&self.metadata)?));
        }
        let mut start = 0;
        for (name, array) in &arrays {
            let end = start + array.bytes.len();
            let (name, dtype) = (serde_json::to_string(name)?, serde_json::to_string(&array.dtype)?);
            let shape = serde_json::to_string(&array.shape)?;
            entries.push(format!(
                "{name}:{{\"dtype\":{dtype},\"shape\":{shape},\"data_offsets\":[{start},{end}]}}"
            ));
            start = end;
        }
        let mut header = format!("{{{}}}", entries.join(","));
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        writer.write_all(&(header.len() as u64).to_le_bytes())?;
        writer.write_all(header.as_bytes())?;
        arrays.into_iter().try_for_each(|(_, array)| writer.write_all(&array.bytes))
    }

    /// Reads bytes; a malformed header or lengths that do not add up are errors.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let metadata: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
        let array = |view: safetensors::tensor::TensorView<'a>| Array {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: Cow::Borrowed(view.data()),
        };
        let arrays = file.tensors().into_iter().map(|(name, view)| (name, array(view))).collect();
        Ok(Self { arrays, metadata: metadata.into_iter().collect() })
    }

    /// Digest of the file as it would be written.
    pub(crate) fn digest(&self) -> io::Result<String> {
        let mut writer = DigestWriter::default();
        self.write_to(&mut writer)?;
        Ok(writer.finish())
    }

    /// Adds the checksum of the current contents.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        self.metadata.remove(CHECKSUM);
        let digest = self.digest()?;
        self.metadata.insert(CHECKSUM.to_string(), digest);
        Ok(())
    }

    /// Takes out the checksum and compares it with the rest; `false` where there is none.
    pub(crate) fn check_seal(&mut self) -> Result<bool, String> {
        let Some(expected) = self.metadata.remove(CHECKSUM) else { return Ok(false) };
        let found = self.digest().map_err(|error| error.to_string())?;
        if found != expected {
            return Err("its checksum is not that of its contents".to_string());
        }
        Ok(true)
    }

    pub(crate) fn take(&mut self, name: &str) -> Result<Array<'a>, String> {
        self.arrays.remove(name).ok_or_else(|| format!("the array '{name}' is missing"))
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn to_bytes(file: &TensorFile<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.write_to(&mut bytes).unwrap();
        bytes
    }

    fn numbers() -> TensorData {
        TensorData::new(vec![0.5_f32, -1.5], [1, 2])
    }

    fn example(numbers: &TensorData) -> TensorFile<'_> {
        let mut file = TensorFile::default();
        file.arrays.insert("b".into(), Array::from_u32(&[1, 2, 3]));
        file.arrays.insert("a".into(), Array::from_data(numbers).unwrap());
        file.arrays.insert("c".into(), Array::from_f16(vec![2], [0.5, -1.5].into_iter()));
        file.arrays.insert("\"d\"".into(), Array::from_u8(vec![7, 8, 9]));
        file.metadata.extend((0..20).map(|index| (format!("key{index}"), "value \"quoted\"".to_string())));
        file
    }

    #[test]
    fn arrays_and_metadata_read_back() {
        let numbers = numbers();
        let bytes = to_bytes(&example(&numbers));
        let mut file = TensorFile::from_bytes(&bytes).unwrap();
        assert_eq!(file.metadata, example(&numbers).metadata);
        assert_eq!(file.take("b").unwrap().to_u32().unwrap(), [1, 2, 3]);
        assert_eq!(file.take("a").unwrap().to_f32().unwrap(), [0.5, -1.5]);
        assert_eq!(file.take("c").unwrap().to_f32().unwrap(), [0.5, -1.5]);
        assert_eq!(file.take("\"d\"").unwrap().bytes[..], [7, 8, 9]);
        assert!(file.take("a").unwrap_err().contains("'a'"));
    }

    #[test]
    fn the_bytes_are_those_of_the_safetensors_crate() {
        let numbers = numbers();
        let mut file = example(&numbers);
        file.metadata.clear();
        let views = file.arrays.iter().map(|(name, array)| {
            (name, TensorView::new(array.dtype, array.shape.clone(), &array.bytes).unwrap())
        });
        assert_eq!(to_bytes(&file), safetensors::serialize(views, None).unwrap());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let numbers = numbers();
        let bytes = to_bytes(&example(&numbers));
        for length in 0..bytes.len() {
            assert!(TensorFile::from_bytes(&bytes[..length]).is_err(), "{length} bytes were accepted");
        }
    }

    #[test]
    fn sealed_files_notice_every_flipped_bit() {
        let numbers = numbers();
        let mut file = example(&numbers);
        file.metadata.retain(|key, _| key == "key7");
        file.seal().unwrap();
        let bytes = to_bytes(&file);
        let mut whole = TensorFile::from_bytes(&bytes).unwrap();
        assert!(whole.check_seal().unwrap());
        assert_eq!(whole.metadata, BTreeMap::from([("key7".to_string(), "value \"quoted\"".to_string())]));
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let Ok(mut damaged) = TensorFile::from_bytes(&damaged) else { continue };
            match damaged.check_seal() {
                Err(_) => {}
                // The entry now has an unknown name, which readers refuse.
                Ok(false) => assert_eq!(damaged.metadata.len(), 2, "bit {bit}"),
                // Blanks between the entries hold nothing.
                Ok(true) => {
                    damaged.metadata.insert(CHECKSUM.to_string(), file.metadata[CHECKSUM].clone());
                    assert!(to_bytes(&damaged) == bytes, "bit {bit}");
                }
            }
        }
    }
}
