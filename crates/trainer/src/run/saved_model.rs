//! The results of a finished run on disk: the model, and the whitened features of the training images.

use deepcluster_clustering::{ClusterModel, Place, Rows};
use deepcluster_models::NamedWeights;
use ndarray::Array2;

use crate::error::TrainerError;
use crate::run::directory::RunDirectory;
use crate::run::files::write_atomic;
use crate::run::results::{FEATURES, MODEL, ResultMark, damaged_result, open_sealed, read_result};
use crate::run::tensor_file::{Array, TensorFile};

pub(crate) const NETWORK: &str = "network.";
pub(crate) const HEAD: &str = "head.";
pub(crate) const CLUSTERS: &str = "clusters";
const FEATURES_ARRAY: &str = "features";

/// The contents of `model.safetensors`.
pub(crate) struct SavedModel {
    pub(crate) network: NamedWeights,
    pub(crate) head: Option<NamedWeights>,
    pub(crate) clusters: ClusterModel,
}

impl SavedModel {
    /// Reads the model of a run, or `None` where the run has none yet.
    pub(crate) fn load(run: &RunDirectory) -> Result<Option<Self>, TrainerError> {
        if !run.is_finished()? {
            return Ok(None);
        }
        let path = run.file(MODEL);
        let bytes = read_result(&path)?;
        Self::from_bytes(&bytes).map(Some).map_err(|reason| damaged_result(&path, reason))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let mut file = open_sealed(bytes)?;
        let clusters = file.take(CLUSTERS)?.bytes;
        let clusters = ClusterModel::from_bytes(&clusters).map_err(|error| error.to_string())?;
        let (mut network, mut head) = (NamedWeights::new(), NamedWeights::new());
        for (name, array) in file.arrays {
            let data = array.to_data()?;
            if let Some(name) = name.strip_prefix(NETWORK) {
                network.insert(name.to_string(), data);
            } else if let Some(name) = name.strip_prefix(HEAD) {
                head.insert(name.to_string(), data);
            } else {
                return Err(format!("the array '{name}' is unknown"));
            }
        }
        Ok(Self { network, head: (!head.is_empty()).then_some(head), clusters })
    }
}

impl RunDirectory {
    /// Whitened features of the training images as saved at the end of the run, `[num_images,
    /// num_components]`, rounded to 16-bit floats. Their rows are those of [`images`](Self::images).
    ///
    /// # Errors
    /// [`TrainerError::Unfinished`]; [`TrainerError::Damaged`] where they are not what was written;
    /// [`TrainerError::Mixed`] where they are those of another model or of other images.
    pub fn features(&self) -> Result<Array2<f32>, TrainerError> {
        self.read_features(|shape, array| {
            Array2::from_shape_vec(shape, array.to_f32()?).map_err(|error| error.to_string())
        })
    }

    /// As [`RunDirectory::features`] without the values.
    pub(crate) fn check_features(&self) -> Result<(), TrainerError> {
        self.read_features(|_, _| Ok(()))
    }

    fn read_features<T>(
        &self,
        read: impl FnOnce((usize, usize), &Array<'_>) -> Result<T, String>,
    ) -> Result<T, TrainerError> {
        let path = self.file(FEATURES);
        if !self.is_finished()? || !path.exists() {
            return Err(TrainerError::Unfinished { path: self.path().to_path_buf() });
        }
        let damaged = |reason: String| damaged_result(&path, reason);
        let bytes = read_result(&path)?;
        let array = open_sealed(&bytes).and_then(|mut file| file.take(FEATURES_ARRAY)).map_err(damaged)?;
        let [num_images, num_components] = array.shape[..] else {
            return Err(damaged("the features are no matrix".to_string()));
        };
        self.expect_rows(FEATURES, num_images, self.image_paths()?.len())?;
        read((num_images, num_components), &array).map_err(damaged)
    }

    /// Writes the whitened features of the training images.
    pub(crate) fn save_features(&self, whitened: &dyn Rows, mark: &ResultMark) -> Result<(), TrainerError> {
        let shape = vec![whitened.num_rows(), whitened.dim()];
        let mut buffer = Vec::new();
        let array = match whitened.place() {
            Place::Host(rows) => {
                let values = rows.read_rows(0, shape[0], &mut buffer);
                Array::from_f16(shape, values.iter().copied())
            }
            Place::Device(rows) => Array::from_f16(shape, rows.to_host()?.iter().copied()),
        };
        let mut file = TensorFile::default();
        file.arrays.insert(FEATURES_ARRAY.to_string(), array);
        let path = self.file(FEATURES);
        mark.seal(&mut file).map_err(TrainerError::io("write", &path))?;
        write_atomic(&path, |writer| file.write_to(writer))
    }
}
