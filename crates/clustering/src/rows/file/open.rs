//! Reads feature matrices from memory-mapped files.

use std::fs::File;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::npy::{Header, MAGIC};
use super::{FeatureFileProblem, FeatureType};
use crate::error::ClusteringError;
use crate::rows::host::HostRows;

/// A feature matrix, `[num_samples, feature_dim]`, in a file that is mapped into memory: the operating system
/// reads the rows in use and drops them again, so the file may be larger than the memory.
///
/// Two formats are read, told apart by their first bytes:
/// - `.npy` of version 1 to 3 with a matrix of `<f4` or `<f2` in C order, as `numpy.save` writes it;
/// - safetensors with a matrix of `F32` or `F16`.
///
/// Numbers of 32 bits are used where they lie if they are aligned to 4 bytes, as both formats do; others are
/// converted block by block.
///
/// The file must not be changed or shortened while it is open: the values would change under their readers,
/// and reading past a new end kills the process. Writers that rename a finished file, like
/// [`NpyWriter`](crate::NpyWriter), do no harm.
///
/// ```
/// use deepcluster_clustering::{FeatureFile, FeatureType, NpyWriter, WhiteningConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (raw, whitened) = (folder.path().join("raw.npy"), folder.path().join("whitened.npy"));
/// let mut writer = NpyWriter::create(&raw, FeatureType::F32, 2)?;
/// writer.write_rows(&[12.0, 5.0, 8.0, 5.0, 10.0, 6.0, 10.0, 4.0])?;
/// writer.finish()?;
///
/// let features = FeatureFile::open(&raw)?;
/// let whitening = WhiteningConfig { num_components: 1, ..Default::default() }.fit(&features)?;
/// let mut writer = NpyWriter::create(&whitened, FeatureType::F16, whitening.num_components())?;
/// whitening.transform_blocks(&features, |rows| writer.write_rows(rows))?;
/// assert_eq!(writer.finish()?, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FeatureFile {
    map: Mmap,
    feature_type: FeatureType,
    num_rows: usize,
    feature_dim: usize,
    /// Bytes before the first number; those of all rows from there on are in the map.
    data_start: usize,
}

impl FeatureFile {
    /// Opens the `.npy` file, or the safetensors file of a single tensor, at `path`.
    ///
    /// # Errors
    /// - [`ClusteringError::Io`]: the file cannot be opened or mapped.
    /// - [`ClusteringError::FeatureFile`]: it holds no such matrix.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClusteringError> {
        Self::open_with(path.as_ref(), |bytes| {
            if bytes.starts_with(MAGIC) { Header::read(bytes) } else { tensor(bytes, None) }
        })
    }

    /// Opens the tensor `name` of the safetensors file at `path`.
    ///
    /// # Errors
    /// - [`ClusteringError::Io`]: the file cannot be opened or mapped.
    /// - [`ClusteringError::FeatureFile`]: it holds no matrix of that name.
    pub fn open_tensor(path: impl AsRef<Path>, name: &str) -> Result<Self, ClusteringError> {
        Self::open_with(path.as_ref(), |bytes| tensor(bytes, Some(name)))
    }

    /// The type of the numbers in the file.
    pub fn feature_type(&self) -> FeatureType {
        self.feature_type
    }

    fn open_with(
        path: &Path,
        read: impl FnOnce(&[u8]) -> Result<Header, FeatureFileProblem>,
    ) -> Result<Self, ClusteringError> {
        let io = |source| ClusteringError::Io { action: "read", path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is only read, and it is sound as long as nobody changes the file meanwhile, which
        // the type documents as a duty of its user; no check can exclude it.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let problem = |problem| ClusteringError::FeatureFile { path: path.to_path_buf(), problem };
        read(&map).and_then(|header| Self::new(map, header)).map_err(problem)
    }

    fn new(map: Mmap, header: Header) -> Result<Self, FeatureFileProblem> {
        let Header { feature_type, shape, data_start } = header;
        let [num_rows, feature_dim] = shape[..] else {
            return Err(FeatureFileProblem::NotAMatrix { shape });
        };
        // The product of three sizes may leave even 128 bits.
        let expected = (num_rows as u128 * feature_dim as u128)
            .saturating_mul(feature_type.size() as u128)
            .saturating_add(data_start as u128);
        if expected > map.len() as u128 {
            return Err(FeatureFileProblem::Truncated { expected, actual: map.len() });
        }
        Ok(Self { map, feature_type, num_rows, feature_dim, data_start })
    }
}

impl HostRows for FeatureFile {
    fn num_rows(&self) -> usize {
        self.num_rows
    }

    fn feature_dim(&self) -> usize {
        self.feature_dim
    }

    fn read_rows<'a>(&'a self, first: usize, count: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        assert!(first <= self.num_rows && count <= self.num_rows - first, "rows beyond the last");
        // A file without rows may claim rows of any length.
        let row_size = self.feature_dim.saturating_mul(self.feature_type.size());
        let bytes = &self.map[self.data_start + first * row_size..][..count * row_size];
        match self.feature_type {
            FeatureType::F32 => {
                if cfg!(target_endian = "little")
                    && let Ok(values) = bytemuck::try_cast_slice(bytes)
                {
                    return values;
                }
                buffer.clear();
                buffer.extend(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)));
            }
            FeatureType::F16 => {
                if cfg!(target_endian = "little")
                    && let Ok(values) = bytemuck::try_cast_slice::<u8, f16>(bytes)
                {
                    buffer.resize(values.len(), 0.0);
                    values.convert_to_f32_slice(buffer);
                } else {
                    buffer.clear();
                    buffer
                        .extend(bytes.as_chunks().0.iter().map(|&value| f16::from_le_bytes(value).to_f32()));
                }
            }
        }
        buffer
    }
}

/// Shape, type and place of the tensor `name`, or of the only one, of a safetensors file.
fn tensor(bytes: &[u8], name: Option<&str>) -> Result<Header, FeatureFileProblem> {
    let tensors =
        SafeTensors::deserialize(bytes).map_err(|source| FeatureFileProblem::Safetensors { source })?;
    let available = || {
        let mut names: Vec<String> = tensors.names().into_iter().map(String::from).collect();
        names.sort_unstable();
        names
    };
    let tensor = match name {
        Some(name) => tensors.tensor(name).map_err(|_| FeatureFileProblem::NoSuchTensor {
            name: name.to_string(),
            available: available(),
        })?,
        None => match (tensors.iter().next(), tensors.len()) {
            (Some((_, tensor)), 1) => tensor,
            _ => return Err(FeatureFileProblem::NotOneTensor { available: available() }),
        },
    };
    let feature_type = match tensor.dtype() {
        Dtype::F32 => FeatureType::F32,
        Dtype::F16 => FeatureType::F16,
        other => return Err(FeatureFileProblem::DataType { found: format!("{other:?}") }),
    };
    let data_start = tensor.data().as_ptr().addr() - bytes.as_ptr().addr();
    Ok(Header { feature_type, shape: tensor.shape().to_vec(), data_start })
}
