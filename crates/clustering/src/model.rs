//! Whitening and centroids together: all that is needed to assign new images.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use deepcluster_files::write_whole;
use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::ClusteringError;
use crate::kmeans::ScanPrecision;
use crate::kmeans::assign;
use crate::rows::Rows;
use crate::rows::matrix::FeatureMatrix;
use crate::whitening::Whitening;

const FORMAT_KEY: &str = "cluster_model_format";
const FORMAT: &str = "1";

const CENTROIDS: &str = "centroids";
const MEAN: &str = "whitening.mean";
const COMPONENTS: &str = "whitening.components";
const NORMALIZE: &str = "whitening.normalize";

/// A fitted clustering, for the assignment of new features.
///
/// # File format
/// safetensors with the metadata `cluster_model_format = 1` and the tensors
/// - `centroids`, f32 `[num_clusters, num_components]`;
/// - `whitening.mean`, f64 `[feature_dim]`, `whitening.components`, f64 `[num_components, feature_dim]`, and
///   `whitening.normalize`, u8 `[1]` with 0 or 1: all three, or none for features that are clustered as they
///   are.
///
/// Other tensors are ignored. Equal models have equal bytes.
///
/// ```
/// use deepcluster_clustering::ClusterModel;
/// use ndarray::array;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = ClusterModel { whitening: None, centroids: array![[0.0_f32, 0.0], [4.0, 4.0]] };
/// let (labels, squared_distances) = model.assign(&array![[3.0_f32, 4.0]])?;
/// assert_eq!((labels, squared_distances), (vec![1], vec![1.0]));
/// assert_eq!(ClusterModel::from_bytes(&model.to_bytes()?)?, model);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterModel {
    /// Whitening of features before they are compared with the centroids.
    pub whitening: Option<Whitening>,
    /// `[num_clusters, num_components]`, or `[num_clusters, feature_dim]` without whitening.
    pub centroids: Array2<f32>,
}

impl ClusterModel {
    /// Whitens `features`, `[num_samples, feature_dim]`, and returns the nearest centroid of each row and the
    /// squared Euclidean distance to it, as [`assign`](crate::assign) does.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: the features or the centroids have another dimension.
    /// - [`ClusteringError::EmptyFeatures`], [`ClusteringError::NonFiniteFeatures`] or
    ///   [`ClusteringError::FeaturesTooLarge`]: names the first bad row.
    pub fn assign(&self, rows: &dyn Rows) -> Result<(Vec<u32>, Vec<f32>), ClusteringError> {
        let (centroids, precision) = (self.centroids.view(), ScanPrecision::Auto);
        match &self.whitening {
            Some(whitening) => assign(&whitening.transform(rows)?, centroids, precision),
            None => assign(rows, centroids, precision),
        }
    }

    /// The model as a file in memory.
    ///
    /// # Errors
    /// - [`ClusteringError::ModelTensor`]: the centroids are empty, not finite, too large, or of another
    ///   dimension than the whitened rows.
    /// - [`ClusteringError::ModelFormat`]: the writer failed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ClusteringError> {
        self.check()?;
        let (num_clusters, dim) = self.centroids.dim();
        let mut arrays = vec![(
            CENTROIDS,
            Dtype::F32,
            vec![num_clusters, dim],
            bytes_of(self.centroids.iter(), |v| v.to_le_bytes()),
        )];
        if let Some(Whitening { mean, components, normalize }) = &self.whitening {
            let shape = vec![components.len() / mean.len(), mean.len()];
            arrays.push((MEAN, Dtype::F64, vec![mean.len()], bytes_of(mean.iter(), |v| v.to_le_bytes())));
            arrays.push((COMPONENTS, Dtype::F64, shape, bytes_of(components.iter(), |v| v.to_le_bytes())));
            arrays.push((NORMALIZE, Dtype::U8, vec![1], vec![u8::from(*normalize)]));
        }
        let views: Result<Vec<_>, _> = arrays
            .iter()
            .map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect();
        // A single entry: the order of several would differ from run to run.
        let metadata = HashMap::from([(FORMAT_KEY.to_string(), FORMAT.to_string())]);
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|source| ClusteringError::ModelFormat { source })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// - [`ClusteringError::ModelFormat`]: the bytes are truncated or no safetensors file.
    /// - [`ClusteringError::ModelMetadata`]: the format is not named or not the one of this version.
    /// - [`ClusteringError::ModelTensor`]: a tensor is missing, has another type or shape, or holds
    ///   impossible values.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ClusteringError> {
        let format = |source| ClusteringError::ModelFormat { source };
        let tensors = SafeTensors::deserialize(bytes).map_err(format)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let found = header.metadata().as_ref().and_then(|metadata| metadata.get(FORMAT_KEY));
        if found.is_none_or(|found| found != FORMAT) {
            let found = found.map_or("nothing", String::as_str).to_string();
            return Err(ClusteringError::ModelMetadata { key: FORMAT_KEY, found, expected: FORMAT });
        }
        let (shape, values) = read(&tensors, CENTROIDS, Dtype::F32, f32::from_le_bytes)?;
        let centroids = match shape[..] {
            [num_clusters, dim] => Array2::from_shape_vec((num_clusters, dim), values).ok(),
            _ => None,
        };
        let centroids = centroids.ok_or_else(|| bad(CENTROIDS, "is not a matrix"))?;
        let has_whitening = [MEAN, COMPONENTS, NORMALIZE].iter().any(|name| tensors.tensor(name).is_ok());
        let whitening = if has_whitening { Some(read_whitening(&tensors)?) } else { None };
        let model = Self { whitening, centroids };
        model.check()?;
        Ok(model)
    }

    /// Writes the model to `path` through a temporary file in the same folder, so that no reader sees half of
    /// it.
    ///
    /// # Errors
    /// - [`ClusteringError::Io`]: the file could not be written.
    /// - Those of [`to_bytes`](Self::to_bytes).
    pub fn save(&self, path: &Path) -> Result<(), ClusteringError> {
        let bytes = self.to_bytes()?;
        let error = |source| ClusteringError::Io { action: "write", path: path.to_path_buf(), source };
        write_whole(path, |writer| writer.write_all(&bytes)).map_err(error)
    }

    /// Reads the model that [`save`](Self::save) wrote to `path`.
    ///
    /// # Errors
    /// - [`ClusteringError::Io`]: the file could not be read.
    /// - Those of [`from_bytes`](Self::from_bytes).
    pub fn load(path: &Path) -> Result<Self, ClusteringError> {
        let error = |source| ClusteringError::Io { action: "read", path: path.to_path_buf(), source };
        Self::from_bytes(&std::fs::read(path).map_err(error)?)
    }

    /// Refuses values that the types allow but no fit returns.
    fn check(&self) -> Result<(), ClusteringError> {
        FeatureMatrix::new(self.centroids.view())
            .map_err(|_| bad(CENTROIDS, "is empty or holds a NaN, an infinity or a value too large"))?;
        if self
            .whitening
            .as_ref()
            .is_some_and(|whitening| whitening.num_components() != self.centroids.ncols())
        {
            return Err(bad(CENTROIDS, "has another number of columns than the whitened rows"));
        }
        Ok(())
    }
}

fn read_whitening(tensors: &SafeTensors<'_>) -> Result<Whitening, ClusteringError> {
    let (mean_shape, mean) = read(tensors, MEAN, Dtype::F64, f64::from_le_bytes)?;
    let (shape, components) = read(tensors, COMPONENTS, Dtype::F64, f64::from_le_bytes)?;
    let (flag_shape, flag) = read(tensors, NORMALIZE, Dtype::U8, u8::from_le_bytes)?;
    if mean_shape.len() != 1 || mean.is_empty() {
        return Err(bad(MEAN, "is not a vector of at least one value"));
    }
    if shape.len() != 2 || shape[1] != mean.len() || components.is_empty() {
        return Err(bad(COMPONENTS, "is not a matrix with a column for each value of the mean"));
    }
    for (name, values) in [(MEAN, &mean), (COMPONENTS, &components)] {
        if values.iter().any(|value| !value.is_finite()) {
            return Err(bad(name, "holds a NaN or an infinity"));
        }
    }
    match (&flag_shape[..], &flag[..]) {
        ([1], &[flag @ (0 | 1)]) => Ok(Whitening { mean, components, normalize: flag == 1 }),
        _ => Err(bad(NORMALIZE, "is not a single 0 or 1")),
    }
}

/// Shape and values of one tensor of numbers of `SIZE` bytes.
fn read<T, const SIZE: usize>(
    tensors: &SafeTensors<'_>,
    name: &'static str,
    dtype: Dtype,
    from_bytes: fn([u8; SIZE]) -> T,
) -> Result<(Vec<usize>, Vec<T>), ClusteringError> {
    let tensor = tensors.tensor(name).map_err(|_| bad(name, "is missing"))?;
    if tensor.dtype() != dtype {
        return Err(bad(name, "has another type of numbers"));
    }
    let (values, _) = tensor.data().as_chunks::<SIZE>();
    Ok((tensor.shape().to_vec(), values.iter().map(|&value| from_bytes(value)).collect()))
}

fn bytes_of<'a, T: 'a, const SIZE: usize>(
    values: impl Iterator<Item = &'a T>,
    to_bytes: impl Fn(&T) -> [u8; SIZE],
) -> Vec<u8> {
    values.flat_map(to_bytes).collect()
}

fn bad(name: &'static str, problem: &'static str) -> ClusteringError {
    ClusteringError::ModelTensor { name, problem }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn example() -> ClusterModel {
        let whitening = Whitening {
            mean: vec![1.0, 2.0, 3.0],
            components: vec![2.0, 0.0, 0.0, 0.0, 0.0, 0.5],
            normalize: true,
        };
        ClusterModel { whitening: Some(whitening), centroids: array![[0.6_f32, 0.8], [-1.0, 0.0]] }
    }

    fn problem_of(model: &ClusterModel) -> (&'static str, &'static str) {
        match model.to_bytes() {
            Err(ClusteringError::ModelTensor { name, problem }) => (name, problem),
            other => panic!("{other:?}"),
        }
    }

    /// The bytes of a file with these tensors and metadata.
    fn file(tensors: &[(&str, Dtype, &[usize], Vec<u8>)], metadata: &[(&str, &str)]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
        });
        let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        safetensors::serialize(views, Some(metadata)).unwrap()
    }

    fn f64_bytes(values: &[f64]) -> Vec<u8> {
        bytes_of(values.iter(), |value| value.to_le_bytes())
    }

    fn f32_bytes(values: &[f32]) -> Vec<u8> {
        bytes_of(values.iter(), |value| value.to_le_bytes())
    }

    #[test]
    fn rows_are_whitened_before_they_are_assigned() {
        // (1.5, 9, 11) -> (2 * 0.5, 0.5 * 8) = (1, 4) / sqrt 17, nearest to (0.6, 0.8); (0, 2, 3) -> (-1, 0)
        let (labels, distances) = example().assign(&array![[1.5_f32, 9.0, 11.0], [0.0, 2.0, 3.0]]).unwrap();
        assert_eq!(labels, [0, 1]);
        let expected = (1.0 / 17.0_f64.sqrt() - 0.6).powi(2) + (4.0 / 17.0_f64.sqrt() - 0.8).powi(2);
        assert!((f64::from(distances[0]) - expected).abs() < 1e-6);
        assert_eq!(distances[1], 0.0);
    }

    #[test]
    fn a_model_survives_the_way_through_bytes_and_files_and_the_bytes_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clusters.safetensors");
        let without = ClusterModel { whitening: None, ..example() };
        for model in [example(), without] {
            let bytes = model.to_bytes().unwrap();
            assert_eq!(bytes, model.to_bytes().unwrap());
            assert_eq!(ClusterModel::from_bytes(&bytes).unwrap(), model);
            model.save(&path).unwrap();
            assert_eq!(ClusterModel::load(&path).unwrap(), model);
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_transposed_matrix_of_centroids_is_written_row_by_row() {
        let centroids = array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]].reversed_axes();
        let model = ClusterModel { whitening: None, centroids };
        assert_eq!(ClusterModel::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
    }

    #[test]
    fn every_truncation_and_every_extension_is_an_error() {
        let mut bytes = example().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(ClusterModel::from_bytes(&bytes[..length]).is_err(), "{length} bytes were accepted");
        }
        bytes.push(0);
        assert!(matches!(ClusterModel::from_bytes(&bytes), Err(ClusteringError::ModelFormat { .. })));
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_model_and_never_a_panic() {
        let bytes = example().to_bytes().unwrap();
        for position in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xFF] {
                let mut damaged = bytes.clone();
                damaged[position] ^= mask;
                if let Ok(model) = ClusterModel::from_bytes(&damaged) {
                    let _ = model.assign(&array![[1.0_f32, 2.0, 4.0]]);
                }
            }
        }
    }

    #[test]
    fn another_format_and_a_missing_one_are_refused() {
        let tensors = [(CENTROIDS, Dtype::F32, &[1, 1][..], f32_bytes(&[1.0]))];
        assert!(ClusterModel::from_bytes(&file(&tensors, &[(FORMAT_KEY, "1")])).is_ok());
        let error = ClusterModel::from_bytes(&file(&tensors, &[(FORMAT_KEY, "2")])).unwrap_err();
        assert!(matches!(error, ClusteringError::ModelMetadata { found, expected: "1", .. } if found == "2"));
        let error = ClusterModel::from_bytes(&file(&tensors, &[])).unwrap_err();
        assert!(matches!(error, ClusteringError::ModelMetadata { found, .. } if found == "nothing"));
    }

    #[test]
    fn every_malformed_tensor_is_named() {
        type Tensor = (Dtype, &'static [usize], Vec<u8>);
        let valid = || -> Vec<(&str, Dtype, &[usize], Vec<u8>)> {
            vec![
                (CENTROIDS, Dtype::F32, &[1, 1], f32_bytes(&[1.0])),
                (MEAN, Dtype::F64, &[2], f64_bytes(&[1.0, 2.0])),
                (COMPONENTS, Dtype::F64, &[1, 2], f64_bytes(&[1.0, 2.0])),
                (NORMALIZE, Dtype::U8, &[1], vec![1]),
            ]
        };
        let is_read = |tensors: &[_]| ClusterModel::from_bytes(&file(tensors, &[(FORMAT_KEY, FORMAT)]));
        assert!(is_read(&valid()).is_ok());
        let cases: [(&str, Option<Tensor>); 17] = [
            (CENTROIDS, None),
            (CENTROIDS, Some((Dtype::F64, &[1, 1], f64_bytes(&[1.0])))),
            (CENTROIDS, Some((Dtype::F32, &[1], f32_bytes(&[1.0])))),
            (CENTROIDS, Some((Dtype::F32, &[1, 1], f32_bytes(&[f32::NAN])))),
            (CENTROIDS, Some((Dtype::F32, &[0, 1], vec![]))),
            (CENTROIDS, Some((Dtype::F32, &[1, 0], vec![]))),
            (CENTROIDS, Some((Dtype::F32, &[1, 2], f32_bytes(&[1.0, 2.0])))),
            (MEAN, None),
            (MEAN, Some((Dtype::F32, &[2], f32_bytes(&[1.0, 2.0])))),
            (MEAN, Some((Dtype::F64, &[0], vec![]))),
            (MEAN, Some((Dtype::F64, &[2, 1], f64_bytes(&[1.0, 2.0])))),
            (MEAN, Some((Dtype::F64, &[2], f64_bytes(&[1.0, f64::NAN])))),
            (COMPONENTS, None),
            (COMPONENTS, Some((Dtype::F64, &[2, 1], f64_bytes(&[1.0, 2.0])))),
            (COMPONENTS, Some((Dtype::F64, &[1, 2], f64_bytes(&[1.0, f64::INFINITY])))),
            (NORMALIZE, Some((Dtype::U8, &[1], vec![2]))),
            (NORMALIZE, Some((Dtype::U8, &[2], vec![1, 1]))),
        ];
        for (index, (name, tensor)) in cases.into_iter().enumerate() {
            let mut tensors = valid();
            tensors.retain(|tensor| tensor.0 != name);
            tensors.extend(tensor.map(|(dtype, shape, bytes)| (name, dtype, shape, bytes)));
            let error = is_read(&tensors).unwrap_err();
            assert!(
                matches!(error, ClusteringError::ModelTensor { name: found, .. } if found == name),
                "case {index}: {error}"
            );
        }
    }

    #[test]
    fn an_inconsistent_model_is_not_written() {
        let model = ClusterModel { centroids: array![[1.0_f32]], ..example() };
        assert_eq!(problem_of(&model).0, CENTROIDS);
        let model = ClusterModel { whitening: None, centroids: array![[f32::NAN]] };
        assert!(problem_of(&model).1.contains("NaN"));
    }

    #[test]
    fn files_that_cannot_be_read_or_written_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("clusters.safetensors");
        assert!(matches!(ClusterModel::load(&path), Err(ClusteringError::Io { action: "read", .. })));
        let error = example().save(&path).unwrap_err();
        assert!(matches!(error, ClusteringError::Io { action: "write", path: found, .. } if found == path));
    }
}
