//! Named arrays in the safetensors format, checked when read.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::TensorData;
use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;

/// An array of 32-bit values or halves, as bytes in little-endian order.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Array {
    pub(crate) fn from_u32(values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::U32, shape: vec![values.len()], bytes }
    }

    pub(crate) fn from_f32(shape: Vec<usize>, values: impl Iterator<Item = f32>) -> Self {
        Self { dtype: Dtype::F32, shape, bytes: values.flat_map(|value| value.to_le_bytes()).collect() }
    }

    pub(crate) fn from_f16(shape: Vec<usize>, values: impl Iterator<Item = f32>) -> Self {
        let bytes = values.flat_map(|value| half::f16::from_f32(value).to_le_bytes()).collect();
        Self { dtype: Dtype::F16, shape, bytes }
    }

    pub(crate) fn from_data(data: &TensorData) -> Option<Self> {
        let values = data.as_slice::<f32>().ok()?;
        Some(Self::from_f32(data.shape().to_vec(), values.iter().copied()))
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

impl View for &Array {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Named arrays with text entries beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct TensorFile {
    pub(crate) arrays: BTreeMap<String, Array>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// The file as bytes; equal contents give equal bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes =
            safetensors::serialize(self.arrays.iter(), None).map_err(|error| error.to_string())?;
        if !self.metadata.is_empty() {
            bytes = with_metadata(&bytes, &self.metadata)?;
        }
        Ok(bytes)
    }

    /// Reads bytes; a malformed header or lengths that do not add up are errors.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let metadata: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
        let array = |view: safetensors::tensor::TensorView<'_>| Array {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        let arrays = file.tensors().into_iter().map(|(name, view)| (name, array(view))).collect();
        Ok(Self { arrays, metadata: metadata.into_iter().collect() })
    }

    pub(crate) fn take(&mut self, name: &str) -> Result<Array, String> {
        self.arrays.remove(name).ok_or_else(|| format!("the array '{name}' is missing"))
    }
}

/// Adds the metadata to the header in sorted order; the crate's own map has a random order, and with it the bytes of
/// the file would differ from run to run.
fn with_metadata(bytes: &[u8], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, String> {
    let length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length) as usize);
    let length = length.ok_or("the header is missing")?;
    let header = bytes.get(8..8 + length).ok_or("the header is cut short")?;
    let header = std::str::from_utf8(header).map_err(|error| error.to_string())?;
    let tensors = header.trim_end().strip_prefix('{').ok_or("the header is no object")?;
    let metadata = serde_json::to_string(metadata).map_err(|error| error.to_string())?;
    let separator = if tensors == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{metadata}{separator}{tensors}");
    // The format asks for data at multiples of 8 bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let mut result = Vec::with_capacity(8 + header.len() + bytes.len() - 8 - length);
    result.extend((header.len() as u64).to_le_bytes());
    result.extend(header.as_bytes());
    result.extend(&bytes[8 + length..]);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> TensorFile {
        let mut file = TensorFile::default();
        file.arrays.insert("b".into(), Array::from_u32(&[1, 2, 3]));
        file.arrays.insert("a".into(), Array::from_f32(vec![1, 2], [0.5, -1.5].into_iter()));
        file.arrays.insert("c".into(), Array::from_f16(vec![2], [0.5, -1.5].into_iter()));
        file.metadata.extend((0..20).map(|index| (format!("key{index}"), "value \"quoted\"".to_string())));
        file
    }

    #[test]
    fn arrays_and_metadata_read_back_and_the_bytes_repeat() {
        let bytes = example().to_bytes().unwrap();
        assert_eq!(bytes, example().to_bytes().unwrap());
        let mut file = TensorFile::from_bytes(&bytes).unwrap();
        assert_eq!(file.metadata, example().metadata);
        assert_eq!(file.take("b").unwrap().to_u32().unwrap(), [1, 2, 3]);
        assert_eq!(file.take("a").unwrap().to_f32().unwrap(), [0.5, -1.5]);
        assert_eq!(file.take("c").unwrap().to_f32().unwrap(), [0.5, -1.5]);
        assert!(file.take("a").unwrap_err().contains("'a'"));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = example().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(TensorFile::from_bytes(&bytes[..length]).is_err(), "{length} bytes were accepted");
        }
    }
}
