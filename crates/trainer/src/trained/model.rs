//! A finished run: the network, its PCA and its centroids, ready for new images.

use std::sync::Arc;

use burn::tensor::Device;
use deepcluster_clustering::ClusterModel;
use deepcluster_data::Images;
use deepcluster_engine::Observer;
use deepcluster_engine::features::ExtractedFeatures;
use deepcluster_models::{Backbone, ModelError, NamedWeights, Network, export_weights};

use crate::error::TrainerError;
use crate::run::directory::RunDirectory;
use crate::run::files::write_atomic;
use crate::run::results::{CONFIG, MODEL, ResultMark};
use crate::run::saved_model::{CLUSTERS, HEAD, NETWORK, SavedModel};
use crate::run::tensor_file::{Array, TensorFile};
use crate::settings::config::TrainConfig;
use crate::trained::network::TrainedNetwork;

/// A trained network with everything needed to give new images a cluster.
#[derive(Debug)]
pub struct TrainedModel<B: Backbone> {
    trained: TrainedNetwork<B>,
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

impl TrainedModel<Network> {
    /// Loads the trained network of a finished run.
    ///
    /// # Errors
    /// [`TrainerError::Unfinished`] where there is none yet, [`TrainerError::Damaged`] where it cannot be
    /// read or was altered, [`TrainerError::OtherNetwork`] for a network that is not one of this
    /// library, [`TrainerError::Mixed`] where other files of the run are those of
    /// another model.
    pub fn load(run: &RunDirectory, device: &Device) -> Result<Self, TrainerError> {
        run.refuse_custom_network()?;
        let network = run.config()?.network()?;
        Self::load_backbone(run, device, |seed, device| Ok(network.init(seed, device)?.into()))
    }
}

impl<B: Backbone> TrainedModel<B> {
    pub(crate) fn new(trained: TrainedNetwork<B>, clusters: ClusterModel) -> Self {
        Self { trained, clusters }
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
        let saved =
            SavedModel::load(run)?.ok_or(TrainerError::Unfinished { path: run.path().to_path_buf() })?;
        let trained = TrainedNetwork::assemble(run.config()?, device, saved.network, saved.head, init)?;
        Ok(Self { trained, clusters: saved.clusters })
    }

    /// The mark of the files that belong to this model: the tables in the run, the features, and its own.
    pub(crate) fn mark(&self, run: &RunDirectory, epoch: usize) -> Result<ResultMark, TrainerError> {
        let network = export_weights(&self.trained.network)?;
        let identity = self.arrays(&network)?.digest().map_err(TrainerError::io("read", run.file(MODEL)))?;
        ResultMark::new(run, epoch, identity)
    }

    /// Writes the model, the last file of a run.
    pub(crate) fn save(&self, run: &RunDirectory, mark: &ResultMark) -> Result<(), TrainerError> {
        let network = export_weights(&self.trained.network)?;
        let mut file = self.arrays(&network)?;
        file.metadata.insert(CONFIG.to_string(), self.config().to_model_text());
        mark.seal(&mut file).map_err(TrainerError::io("write", run.file(MODEL)))?;
        write_atomic(&run.file(MODEL), |writer| file.write_to(writer))
    }

    fn arrays<'a>(&'a self, network: &'a NamedWeights) -> Result<TensorFile<'a>, TrainerError> {
        let mut file = TensorFile::default();
        let head = self.trained.head.iter().flatten();
        let named = network.iter().map(|part| (NETWORK, part)).chain(head.map(|part| (HEAD, part)));
        for (prefix, (name, data)) in named {
            if let Some(array) = Array::from_data(data) {
                file.arrays.insert(format!("{prefix}{name}"), array);
            }
        }
        file.arrays.insert(CLUSTERS.to_string(), Array::from_u8(self.clusters.to_bytes()?));
        Ok(file)
    }

    /// The network with its settings, for uses beyond clustering.
    pub fn trained_network(&self) -> &TrainedNetwork<B> {
        &self.trained
    }

    /// The network, on a device without autodiff.
    pub fn network(&self) -> &B {
        &self.trained.network
    }

    /// PCA and centroids.
    pub fn clusters(&self) -> &ClusterModel {
        &self.clusters
    }

    /// The settings the network was trained with.
    pub fn config(&self) -> &TrainConfig {
        &self.trained.config
    }

    /// Gives every image of `images` the cluster of the nearest centroid.
    ///
    /// # Errors
    /// [`TrainerError::NoReadableImage`] where none can be read,
    /// [`EngineError::Stopped`](deepcluster_engine::EngineError::Stopped) on request of `observer`.
    pub fn assign(
        &self,
        images: &Arc<Images>,
        observer: &mut dyn Observer,
    ) -> Result<AssignedImages, TrainerError> {
        let ExtractedFeatures { features, image_indices, failures } =
            self.trained.features(images, observer)?;
        let (clusters, squared_distances) = self.clusters.assign(&features)?;
        Ok(AssignedImages { image_indices, clusters, squared_distances, failures })
    }

    /// Whitened features of the images that can be read.
    ///
    /// # Errors
    /// As [`TrainedModel::assign`].
    pub fn whitened_features(
        &self,
        images: &Arc<Images>,
        observer: &mut dyn Observer,
    ) -> Result<ExtractedFeatures, TrainerError> {
        let mut extracted = self.trained.features(images, observer)?;
        if let Some(whitening) = &self.clusters.whitening {
            extracted.features = whitening.transform(&extracted.features)?;
        }
        Ok(extracted)
    }
}
