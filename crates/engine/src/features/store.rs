//! The features of a pass, gathered where they are best kept: on the host, or on a GPU.

use burn::tensor::{Device, Tensor};
use deepcluster_clustering::{FeatureType, Rows, StoredFeatures};
use deepcluster_kernels::device_limits;
use ndarray::ArrayView2;

use crate::error::EngineError;
use crate::features::device::{DeviceFeatures, Room};
use crate::tensors::host_values;

/// Takes the features of a pass batch by batch, and becomes [`Rows`].
#[derive(Debug)]
pub(crate) struct FeatureStore {
    place: StorePlace,
}

#[derive(Debug)]
enum StorePlace {
    Host(StoredFeatures),
    Device(DeviceFeatures),
}

impl FeatureStore {
    /// No rows yet; about `capacity` of `feature_dim` values are to come, computed on `device`.
    pub(crate) fn new(
        device: &Device,
        feature_type: FeatureType,
        capacity: usize,
        feature_dim: usize,
    ) -> Self {
        let place = if device_limits(device).is_none() {
            StorePlace::Host(StoredFeatures::with_capacity(feature_type, capacity, feature_dim))
        } else {
            StorePlace::Device(DeviceFeatures::new(device, feature_dim, feature_type, Room::on(device)))
        };
        Self { place }
    }

    /// Adds rows, `[_, feature_dim]`.
    ///
    /// # Errors
    /// [`EngineError::Device`] where the device fails, [`EngineError::Clustering`] for rows that cannot be
    /// kept.
    pub(crate) fn append(&mut self, rows: Tensor<2>) -> Result<(), EngineError> {
        match &mut self.place {
            StorePlace::Host(features) => {
                let shape = rows.dims();
                let values = host_values(rows, "while computing features")?;
                let rows =
                    ArrayView2::from_shape(shape, &values).expect("a tensor has the values of its shape");
                features.append(rows)?;
            }
            StorePlace::Device(features) => features.append(rows)?,
        }
        Ok(())
    }

    /// All rows, once the last has been added.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub(crate) fn finish(self) -> Result<Box<dyn Rows>, EngineError> {
        Ok(match self.place {
            StorePlace::Host(features) => Box::new(features),
            StorePlace::Device(features) => Box::new(features.finish()?),
        })
    }
}
