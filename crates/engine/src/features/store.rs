//! The features of an epoch, from the output of the network to clusters, where they are best kept: on the host, or on a GPU.

use burn::tensor::{Device, Tensor};
use deepcluster_clustering::{
    Clustering, ClusteringAlgorithm, ClusteringError, ClusteringObserver, FeatureSource, FeatureType,
    StoredFeatures, Whitening, WhiteningConfig,
};
use deepcluster_device_features::{DeviceFeatures, Room};
use deepcluster_kernels::device_limits;
use ndarray::{Array2, ArrayView2};

use crate::error::EngineError;
use crate::tensors::host_values;

/// Features as the network gives them.
pub enum EpochFeatures {
    Host(StoredFeatures),
    Device(DeviceFeatures),
}

/// Features after PCA-whitening.
pub enum WhitenedFeatures {
    Host(Array2<f32>),
    Device(DeviceFeatures),
}

impl EpochFeatures {
    /// No rows yet; about `capacity` of `feature_dim` values will come.
    pub fn new(device: &Device, feature_type: FeatureType, capacity: usize, feature_dim: usize) -> Self {
        if device_limits(device).is_none() {
            return Self::Host(StoredFeatures::with_capacity(feature_type, capacity, feature_dim));
        }
        Self::Device(DeviceFeatures::new(device, feature_dim, feature_type, Room::on(device)))
    }

    pub fn num_rows(&self) -> usize {
        match self {
            Self::Host(features) => features.num_rows(),
            Self::Device(features) => features.len(),
        }
    }

    /// Adds rows, `[_, feature_dim]`.
    pub fn append(&mut self, rows: Tensor<2>) -> Result<(), EngineError> {
        match self {
            Self::Host(features) => {
                let shape = rows.dims();
                let values = host_values(rows, "while computing features")?;
                let rows =
                    ArrayView2::from_shape(shape, &values).expect("a tensor has the values of its shape");
                features.append(rows)?;
            }
            Self::Device(features) => features.append(rows)?,
        }
        Ok(())
    }

    /// Fits a whitening and applies it.
    pub fn whiten(self, config: &WhiteningConfig) -> Result<(Whitening, WhitenedFeatures), ClusteringError> {
        match self {
            Self::Host(features) => {
                let whitening = config.fit_source(&features)?;
                let whitened = whitening.transform_to_matrix(&features)?;
                Ok((whitening, WhitenedFeatures::Host(whitened)))
            }
            Self::Device(features) => {
                let features = features.finish()?;
                let whitening = config.fit_on_device(&features)?;
                let whitened = features.whitened(&whitening)?;
                Ok((whitening, WhitenedFeatures::Device(whitened)))
            }
        }
    }
}

impl WhitenedFeatures {
    pub fn num_rows(&self) -> usize {
        match self {
            Self::Host(features) => features.nrows(),
            Self::Device(features) => features.len(),
        }
    }

    pub fn cluster(
        &self,
        algorithm: &dyn ClusteringAlgorithm,
        seed: u64,
        observer: &mut dyn ClusteringObserver,
    ) -> Result<Clustering, ClusteringError> {
        match self {
            Self::Host(features) => algorithm.cluster(features.view(), seed, observer),
            Self::Device(features) => algorithm.cluster_on_device(features, seed, observer),
        }
    }

    pub fn into_matrix(self) -> Result<Array2<f32>, ClusteringError> {
        match self {
            Self::Host(features) => Ok(features),
            Self::Device(features) => features.to_matrix(),
        }
    }
}
