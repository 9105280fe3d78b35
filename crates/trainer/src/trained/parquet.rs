//! Features with the paths of their images as a Parquet file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use deepcluster_files::OutputFile;

use crate::error::TrainerError;

/// Numbers that are held back until a row group is written, 64 MiB of them.
const VALUES_PER_GROUP: usize = 16 << 20;

const SCHEMA: &str = "
    message images {
        REQUIRED BYTE_ARRAY path (STRING);
        REQUIRED group features (LIST) {
            REPEATED group list {
                REQUIRED FLOAT element;
            }
        }
    }";

/// Writes rows of a path and a list of f32 to a Parquet file as they come, uncompressed, in row groups of
/// bounded size.
///
/// The file appears whole when [`finish`](Self::finish) gives it its name. A writer that is dropped before
/// leaves nothing.
pub(super) struct ParquetWriter {
    writer: SerializedFileWriter<OutputFile>,
    path: PathBuf,
    feature_dim: usize,
    paths: Vec<ByteArray>,
    values: Vec<f32>,
}

impl ParquetWriter {
    /// Starts the file that will be `path`, with rows of `feature_dim` numbers, at least 1.
    ///
    /// # Errors
    /// [`TrainerError::Io`] where the folder cannot be written to.
    pub(super) fn create(path: &Path, feature_dim: usize) -> Result<Self, TrainerError> {
        let file = OutputFile::create(path).map_err(TrainerError::io("write", path))?;
        let write_error = write_error(path);
        let schema = parse_message_type(SCHEMA).map_err(&write_error)?;
        let properties = WriterProperties::builder()
            .set_created_by(format!("deepcluster {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::UNCOMPRESSED)
            // Features hardly ever repeat.
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        let writer = writer.map_err(&write_error)?;
        Ok(Self { writer, path: path.to_path_buf(), feature_dim, paths: Vec::new(), values: Vec::new() })
    }

    /// Adds a row for each of `paths`, with `rows` `[paths.len(), feature_dim]`. What is not UTF-8 in a path
    /// is replaced.
    ///
    /// # Errors
    /// [`TrainerError::Io`].
    pub(super) fn write_rows<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a Path>,
        rows: &[f32],
    ) -> Result<(), TrainerError> {
        self.paths.extend(
            paths.into_iter().map(|path| ByteArray::from(path.to_string_lossy().into_owned().into_bytes())),
        );
        self.values.extend_from_slice(rows);
        if self.values.len() >= VALUES_PER_GROUP {
            self.write_group()?;
        }
        Ok(())
    }

    /// Completes the file and puts it in its place.
    ///
    /// # Errors
    /// [`TrainerError::Io`].
    pub(super) fn finish(mut self) -> Result<(), TrainerError> {
        self.write_group()?;
        let path = self.path;
        let file = self.writer.into_inner().map_err(write_error(&path))?;
        file.finish().map_err(TrainerError::io("write", &path))
    }

    fn write_group(&mut self) -> Result<(), TrainerError> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let (paths, values) = (std::mem::take(&mut self.paths), std::mem::take(&mut self.values));
        self.try_write_group(&paths, &values).map_err(write_error(&self.path))
    }

    fn try_write_group(&mut self, paths: &[ByteArray], values: &[f32]) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        if let Some(mut column) = group.next_column()? {
            column.typed::<ByteArrayType>().write_batch(paths, None, None)?;
            column.close()?;
        }
        if let Some(mut column) = group.next_column()? {
            let writer = column.typed::<FloatType>();
            // Every value is present; the first of a row begins a new list.
            let definitions = vec![1_i16; self.feature_dim];
            let mut repetitions = vec![1_i16; self.feature_dim];
            repetitions[0] = 0;
            for row in values.chunks_exact(self.feature_dim) {
                writer.write_batch(row, Some(&definitions), Some(&repetitions))?;
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn write_error(path: &Path) -> impl Fn(ParquetError) -> TrainerError {
    let path = path.to_path_buf();
    move |error| TrainerError::Io {
        action: "write",
        path: path.clone(),
        source: std::io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::RowAccessor;

    use super::*;

    #[test]
    fn rows_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.parquet");
        let mut writer = ParquetWriter::create(&path, 3).unwrap();
        let rows: Vec<f32> = (0..15).map(|value| value as f32 / 4.0).collect();
        let names = ["a.png", "b/\u{e9}.png", "c.png", "d.png", "e.png"];
        writer.write_rows(names[..2].iter().map(Path::new), &rows[..6]).unwrap();
        writer.write_group().unwrap();
        writer.write_rows(names[2..].iter().map(Path::new), &rows[6..]).unwrap();
        assert!(!path.exists());
        writer.finish().unwrap();

        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let mut num_rows = 0;
        for (index, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap();
            assert_eq!(row.get_string(0).unwrap(), names[index]);
            let list = row.get_list(1).unwrap().elements().to_vec();
            let expected = &rows[3 * index..3 * index + 3];
            let expected: Vec<_> =
                expected.iter().map(|&value| ::parquet::record::Field::Float(value)).collect();
            assert_eq!(list, expected);
            num_rows += 1;
        }
        assert_eq!(num_rows, 5);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_dropped_writer_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ParquetWriter::create(&folder.path().join("features.parquet"), 1).unwrap();
        writer.write_rows([Path::new("a")], &[1.0]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
