//! Writes feature matrices to `.npy` files.

use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use deepcluster_files::OutputFile;
use half::f16;

use super::npy::Header;
use super::{FeatureFileProblem, FeatureType, beyond_f16};
use crate::error::ClusteringError;

/// Writes rows to a `.npy` file as they come.
///
/// The file appears whole when [`finish`](Self::finish) gives it its name. A writer that is dropped before
/// that leaves nothing.
#[derive(Debug)]
pub struct NpyWriter {
    file: BufWriter<OutputFile>,
    path: PathBuf,
    feature_type: FeatureType,
    feature_dim: usize,
    num_rows: usize,
}

impl NpyWriter {
    /// Starts the file that will be `path`, with rows of `feature_dim` numbers of the given type.
    ///
    /// # Errors
    /// - [`ClusteringError::EmptyFeatures`]: `feature_dim` is 0.
    /// - [`ClusteringError::Io`]: the folder cannot be written to.
    pub fn create(
        path: impl Into<PathBuf>,
        feature_type: FeatureType,
        feature_dim: usize,
    ) -> Result<Self, ClusteringError> {
        if feature_dim == 0 {
            return Err(ClusteringError::EmptyFeatures { num_samples: 0, feature_dim });
        }
        let path = path.into();
        let file = OutputFile::create(&path).map_err(write_error(&path))?;
        let mut writer = Self { file: BufWriter::new(file), path, feature_type, feature_dim, num_rows: 0 };
        writer.write(&Header::bytes(feature_type, 0, feature_dim))?;
        Ok(writer)
    }

    /// Adds `rows`, `[_, feature_dim]`.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: the numbers do not make whole rows.
    /// - [`ClusteringError::FeatureFile`]: a number is finite, but not in f16.
    /// - [`ClusteringError::Io`]: the file could not be written.
    pub fn write_rows(&mut self, rows: &[f32]) -> Result<(), ClusteringError> {
        let left = rows.len() % self.feature_dim;
        if left != 0 {
            let what = "the length of the last row";
            return Err(ClusteringError::DimensionMismatch {
                what,
                expected: self.feature_dim,
                actual: left,
            });
        }
        for row in rows.chunks_exact(self.feature_dim) {
            let bytes: Vec<u8> = match self.feature_type {
                FeatureType::F32 => row.iter().flat_map(|value| value.to_le_bytes()).collect(),
                FeatureType::F16 => {
                    if let Some(value) = beyond_f16(row) {
                        let problem = FeatureFileProblem::BeyondF16 { row: self.num_rows, value };
                        return Err(ClusteringError::FeatureFile { path: self.path.clone(), problem });
                    }
                    row.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
                }
            };
            self.write(&bytes)?;
            self.num_rows += 1;
        }
        Ok(())
    }

    /// Completes the file, moves it into place and returns the number of rows.
    ///
    /// # Errors
    /// - [`ClusteringError::Io`]: the file could not be written or renamed.
    pub fn finish(mut self) -> Result<usize, ClusteringError> {
        self.file.seek(SeekFrom::Start(0)).map_err(write_error(&self.path))?;
        self.write(&Header::bytes(self.feature_type, self.num_rows, self.feature_dim))?;
        let Self { file, path, num_rows, .. } = self;
        let file = file.into_inner().map_err(|error| write_error(&path)(error.into_error()))?;
        file.finish().map_err(write_error(&path))?;
        Ok(num_rows)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ClusteringError> {
        self.file.write_all(bytes).map_err(write_error(&self.path))
    }
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> ClusteringError {
    move |source| ClusteringError::Io { action: "write", path: path.to_path_buf(), source }
}
