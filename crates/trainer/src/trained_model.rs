//! A finished run: the network, its PCA and its centroids, ready for new images.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use burn::tensor::Device;
use deepcluster_clustering::ClusterModel;
use deepcluster_data::{ImageFolder, Loader};
use deepcluster_models::{Backbone, ConvNet, ModelError, NamedWeights, export_weights, import_weights};
use ndarray::Array2;

use crate::checkpoint::named_tensors;
use crate::config::TrainConfig;
use crate::error::TrainerError;
use crate::features::{ExtractedFeatures, FeaturePass, Layer, extract};
use crate::files::write_atomic;
use crate::observer::{Phase, TrainEvent, TrainObserver};
use crate::run_directory::RunDirectory;
use crate::tensor_file::{Array, TensorFile};

const NETWORK: &str = "network.";
const CLUSTERS: &str = "clusters";

/// A trained network with everything needed to give new images a cluster.
#[derive(Debug)]
pub struct TrainedModel<B: Backbone> {
    config: TrainConfig,
    device: Device,
    network: B,
    clusters: ClusterModel,
}

/// Clusters of a folder of images.
#[derive(Debug, Clone)]
pub struct AssignedImages {
    /// Which image of the folder each row belongs to, ascending; images that cannot be read are left out.
    pub image_indices: Vec<usize>,
    /// Cluster of each row.
    pub clusters: Vec<u32>,
    /// Squared distance of each row's whitened features to the centroid.
    pub squared_distances: Vec<f32>,
    /// Images that could not be read, and why.
    pub failures: Vec<(usize, String)>,
}

impl TrainedModel<ConvNet> {
    /// Loads the trained network of a finished run.
    ///
    /// # Errors
    /// [`TrainerError::Unfinished`] where there is none yet, [`TrainerError::Damaged`] where it cannot be read.
    pub fn load(run: &RunDirectory, device: &Device) -> Result<Self, TrainerError> {
        let network = run.config()?.network()?;
        Self::load_backbone(run, device, |seed, device| network.init(seed, device))
    }
}

impl<B: Backbone> TrainedModel<B> {
    pub(crate) fn new(config: TrainConfig, device: Device, network: B, clusters: ClusterModel) -> Self {
        Self { config, device, network, clusters }
    }

    /// As [`TrainedModel::load`] for any network: `init` builds it, its weights are replaced.
    ///
    /// # Errors
    /// As [`TrainedModel::load`].
    pub fn load_backbone(
        run: &RunDirectory,
        device: &Device,
        init: impl FnOnce(u64, &Device) -> Result<B, ModelError>,
    ) -> Result<Self, TrainerError> {
        let path = run.file("model.safetensors");
        if !path.exists() {
            return Err(TrainerError::Unfinished { path: run.path().to_path_buf() });
        }
        let damaged = |reason: String| TrainerError::Damaged { path: path.clone(), reason };
        let bytes = fs::read(&path).map_err(TrainerError::io("read", &path))?;
        let mut file = TensorFile::from_bytes(&bytes).map_err(damaged)?;
        drop(bytes);
        let clusters = file.take(CLUSTERS).map_err(damaged)?.bytes;
        let clusters = ClusterModel::from_bytes(&clusters).map_err(|error| damaged(error.to_string()))?;
        let mut weights = NamedWeights::new();
        for (name, array) in file.arrays {
            let name = name
                .strip_prefix(NETWORK)
                .ok_or_else(|| damaged(format!("the array '{name}' is unknown")))?;
            weights.insert(name.to_string(), array.to_data().map_err(damaged)?);
        }
        let device = device.clone().without_autodiff();
        let network = import_weights(init(0, &device)?, weights)?;
        Ok(Self { config: run.config()?, device, network, clusters })
    }

    /// Writes the model and the whitened features of the training images.
    pub(crate) fn save(&self, run: &RunDirectory, whitened: &Array2<f32>) -> Result<(), TrainerError> {
        let mut features = TensorFile::default();
        let array = Array::from_f16(whitened.shape().to_vec(), whitened.iter().copied());
        features.arrays.insert("features".to_string(), array);
        write_tensors(run, "features.safetensors", &features)?;

        let mut file = TensorFile::default();
        for (name, array) in named_tensors(&export_weights(&self.network)?).arrays {
            file.arrays.insert(format!("{NETWORK}{name}"), array);
        }
        let clusters = self.clusters.to_bytes()?;
        let shape = vec![clusters.len()];
        file.arrays
            .insert(CLUSTERS.to_string(), Array { dtype: safetensors::Dtype::U8, shape, bytes: clusters });
        file.metadata.insert("config".to_string(), self.config.to_toml());
        write_tensors(run, "model.safetensors", &file)
    }

    /// The network, on a device without autodiff.
    pub fn network(&self) -> &B {
        &self.network
    }

    /// PCA and centroids.
    pub fn clusters(&self) -> &ClusterModel {
        &self.clusters
    }

    /// The settings the network was trained with.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Gives every image of `images` the cluster of the nearest centroid.
    ///
    /// # Errors
    /// [`TrainerError::NoReadableImage`] where none can be read, [`TrainerError::Stopped`] on request of `observer`.
    pub fn assign(
        &self,
        images: &Arc<ImageFolder>,
        observer: &mut dyn TrainObserver,
    ) -> Result<AssignedImages, TrainerError> {
        let ExtractedFeatures { features, image_indices, failures } = self.extract(images, observer)?;
        let (clusters, squared_distances) = self.clusters.assign(features.view())?;
        Ok(AssignedImages { image_indices, clusters, squared_distances, failures })
    }

    /// Whitened features of the images that can be read: the rows, the image of each row, and the failures.
    ///
    /// # Errors
    /// As [`TrainedModel::assign`].
    #[allow(clippy::type_complexity, reason = "three plain parts that belong to no type of their own")]
    pub fn whitened_features(
        &self,
        images: &Arc<ImageFolder>,
        observer: &mut dyn TrainObserver,
    ) -> Result<(Array2<f32>, Vec<usize>, Vec<(usize, String)>), TrainerError> {
        let ExtractedFeatures { features, image_indices, failures } = self.extract(images, observer)?;
        let whitened = match &self.clusters.whitening {
            Some(whitening) => whitening.transform(features.view())?,
            None => features,
        };
        Ok((whitened, image_indices, failures))
    }

    fn extract(
        &self,
        images: &Arc<ImageFolder>,
        observer: &mut dyn TrainObserver,
    ) -> Result<ExtractedFeatures, TrainerError> {
        let loader = Loader::new(images.clone(), self.config.loader_config())?;
        let all: Vec<usize> = (0..images.len()).collect();
        let phase = Phase::Features;
        observer.event(&TrainEvent::PhaseStarted { phase, epoch: 0, num_epochs: 0, total: all.len() });
        let pass = FeaturePass {
            device: &self.device,
            loader: &loader,
            transform: self.config.feature_transform(),
            batch_size: self.config.training.feature_batch_size,
        };
        let extracted = extract(&self.network, &pass, &all, Layer::Features, observer)?;
        let extracted = extracted.ok_or(TrainerError::Stopped { epoch: 0, step: 0 })?;
        if extracted.image_indices.is_empty() {
            let reason = first_failure(images, &extracted.failures);
            let folder = images.root().to_path_buf();
            return Err(TrainerError::NoReadableImage { folder, num_files: images.len(), reason });
        }
        Ok(extracted)
    }
}

impl RunDirectory {
    /// Whitened features of the training images as saved at the end of the run, `[num_images, num_components]`,
    /// rounded to 16-bit floats.
    ///
    /// # Errors
    /// [`TrainerError::Unfinished`] or [`TrainerError::Damaged`].
    pub fn features(&self) -> Result<Array2<f32>, TrainerError> {
        let path = self.file("features.safetensors");
        if !path.exists() {
            return Err(TrainerError::Unfinished { path: self.path().to_path_buf() });
        }
        let damaged = |reason: String| TrainerError::Damaged { path: path.clone(), reason };
        let bytes = fs::read(&path).map_err(TrainerError::io("read", &path))?;
        let array =
            TensorFile::from_bytes(&bytes).and_then(|mut file| file.take("features")).map_err(damaged)?;
        let [num_images, num_components] = array.shape[..] else {
            return Err(damaged("the features are no matrix".to_string()));
        };
        Array2::from_shape_vec((num_images, num_components), array.to_f32().map_err(damaged)?)
            .map_err(|error| damaged(error.to_string()))
    }
}

/// Path and reason of the first image that could not be read.
pub(crate) fn first_failure(images: &ImageFolder, failures: &[(usize, String)]) -> String {
    let describe = |(index, reason): &(usize, String)| format!("{}: {reason}", images.path(*index).display());
    failures.first().map(describe).unwrap_or_default()
}

fn write_tensors(run: &RunDirectory, name: &str, file: &TensorFile) -> Result<(), TrainerError> {
    let path = run.file(name);
    let bytes = file.to_bytes().map_err(|reason| TrainerError::Damaged { path: path.clone(), reason })?;
    write_atomic(&path, |writer| writer.write_all(&bytes))
}
