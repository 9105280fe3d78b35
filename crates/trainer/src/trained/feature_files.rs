//! Features of a folder of images as files for other programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deepcluster_clustering::{FeatureType, NpyWriter, Whitening};
use deepcluster_data::Images;
use deepcluster_engine::Observer;
use deepcluster_engine::features::FeatureBatch;
use deepcluster_files::OutputFile;
use deepcluster_models::{Backbone, LayerId};
use ndarray::ArrayView2;

use crate::error::TrainerError;
use crate::run::files::path_bytes;
use crate::trained::network::TrainedNetwork;
#[cfg(feature = "parquet")]
use crate::trained::parquet::ParquetWriter;

/// Summary of [`TrainedNetwork::write_features`].
#[derive(Debug, Clone)]
pub struct WrittenFeatures {
    /// Images with features, the rows.
    pub num_rows: usize,
    /// Values per image.
    pub feature_dim: usize,
    /// The list `row,path` beside the features.
    pub list: PathBuf,
    /// Images that could not be read, and why.
    pub failures: Vec<(usize, String)>,
}

impl<B: Backbone> TrainedNetwork<B> {
    /// Writes the values of a layer for every image of `images` that can be read to `out`, after `whitening`
    /// where there is one (which is that of the features), batch by batch, and beside it the list
    /// of their paths, `row,path`, in a CSV file of the same name.
    ///
    /// The extension of `out` names the format: `.npy` holds a matrix `[num_rows, feature_dim]` of
    /// `feature_type`; `.parquet` the columns `path` (text, with what is not UTF-8 replaced) and `features`
    /// (list of f32), in builds with the cargo feature `parquet`. Both files appear when they are complete,
    /// or not at all.
    ///
    /// # Errors
    /// [`TrainerError::UnknownFeatureFile`] for another extension, or for f16 in a Parquet file;
    /// [`TrainerError::NoReadableImage`]; [`EngineError::Stopped`](deepcluster_engine::EngineError::Stopped)
    /// on request of `observer`; and what writing reports.
    pub fn write_features(
        &self,
        images: &Arc<Images>,
        layer: LayerId,
        whitening: Option<&Whitening>,
        out: &Path,
        feature_type: FeatureType,
        observer: &mut dyn Observer,
    ) -> Result<WrittenFeatures, TrainerError> {
        let format = Format::of(out, feature_type)?;
        let mut writer = None;
        let mut rows = Vec::new();
        let mut feature_dim = 0;
        let mut sink = |batch: FeatureBatch<'_>| {
            let whitened = whitening.map(|whitening| whitening.transform(&batch.features)).transpose()?;
            let features = whitened.as_ref().map_or(batch.features, |whitened| whitened.view());
            feature_dim = features.ncols();
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(Writer::create(format, out, feature_dim)?),
            };
            writer.write(images, batch.image_indices, features)?;
            rows.extend_from_slice(batch.image_indices);
            Ok(())
        };
        let failures = self.extract_batches(images, layer, observer, &mut sink)?;
        let list = out.with_extension("csv");
        let in_list = |error| TrainerError::io("write", &list)(error);
        let mut list_file = OutputFile::create(&list).map_err(in_list)?;
        write_list(&mut list_file, images, &rows).map_err(in_list)?;
        // Both are complete before either has its name.
        if let Some(writer) = writer {
            writer.finish()?;
        }
        list_file.finish().map_err(in_list)?;
        Ok(WrittenFeatures { num_rows: rows.len(), feature_dim, list, failures })
    }
}

#[derive(Clone, Copy)]
enum Format {
    Npy(FeatureType),
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    fn of(out: &Path, feature_type: FeatureType) -> Result<Self, TrainerError> {
        let extension = out.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match (extension.as_deref(), feature_type) {
            (Some("npy"), _) => Ok(Self::Npy(feature_type)),
            #[cfg(feature = "parquet")]
            (Some("parquet"), FeatureType::F32) => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            (Some("parquet"), FeatureType::F32) => Err(TrainerError::UnknownFeatureFile {
                path: out.to_path_buf(),
                reason: "this build writes no Parquet: build it with the cargo feature `parquet`",
            }),
            (Some("parquet"), FeatureType::F16) => Err(TrainerError::UnknownFeatureFile {
                path: out.to_path_buf(),
                reason: "a Parquet file holds f32; write f16 to a .npy file",
            }),
            _ => Err(TrainerError::UnknownFeatureFile {
                path: out.to_path_buf(),
                reason: "the name of a file of features ends in .npy or .parquet",
            }),
        }
    }
}

enum Writer {
    Npy(NpyWriter),
    #[cfg(feature = "parquet")]
    Parquet(ParquetWriter),
}

impl Writer {
    fn create(format: Format, out: &Path, feature_dim: usize) -> Result<Self, TrainerError> {
        Ok(match format {
            Format::Npy(feature_type) => Self::Npy(NpyWriter::create(out, feature_type, feature_dim)?),
            #[cfg(feature = "parquet")]
            Format::Parquet => Self::Parquet(ParquetWriter::create(out, feature_dim)?),
        })
    }

    fn write(
        &mut self,
        images: &Images,
        image_indices: &[usize],
        features: ArrayView2<'_, f32>,
    ) -> Result<(), TrainerError> {
        let features = features.as_standard_layout();
        let values = features.as_slice().expect("a matrix in standard layout is one slice");
        match self {
            Self::Npy(writer) => writer.write_rows(values)?,
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => {
                let paths = image_indices.iter().map(|&index| Path::new(images.name(index)));
                writer.write_rows(paths, values)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), TrainerError> {
        match self {
            Self::Npy(writer) => writer.finish().map(|_| ())?,
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.finish()?,
        }
        Ok(())
    }
}

fn write_list(file: impl Write, images: &Images, rows: &[usize]) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record(["row", "path"])?;
    for (row, &index) in rows.iter().enumerate() {
        csv.write_record([row.to_string().as_bytes(), &*path_bytes(images.os_name(index).as_ref())])?;
    }
    csv.flush()
}

#[cfg(all(test, not(feature = "parquet")))]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_is_not_compiled_is_refused_with_the_feature() {
        let refused = Format::of(Path::new("features.parquet"), FeatureType::F32).err();
        let error = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("cargo feature `parquet`"), "{error}");
    }
}
