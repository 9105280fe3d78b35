//! Rows that lie together, on the device or on the host.

use burn::tensor::{DType, Device, Tensor};
use deepcluster_clustering::{ClusteringError, FeatureType, HostRows, StoredFeatures};
use ndarray::ArrayView2;

use crate::features::device::read::{floats, int_vector, matrix};

/// Some rows of the features.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Number of the first row among all.
    pub(crate) first: usize,
    pub(crate) num_rows: usize,
    values: Values,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a chunk holds many rows, and there are few")]
enum Values {
    Device(Tensor<2>),
    Host(StoredFeatures),
}

impl Chunk {
    pub(crate) fn on_device(first: usize, rows: Tensor<2>) -> Self {
        Self { first, num_rows: rows.dims()[0], values: Values::Device(rows) }
    }

    /// Reads the rows to the host.
    pub(crate) fn on_host(
        first: usize,
        rows: Tensor<2>,
        feature_type: FeatureType,
    ) -> Result<Self, ClusteringError> {
        let [num_rows, dim] = rows.dims();
        let values = floats(rows, "features were read")?;
        let mut stored = StoredFeatures::with_capacity(feature_type, num_rows, dim);
        let view =
            ArrayView2::from_shape((num_rows, dim), &values).expect("a tensor has the values of its shape");
        stored.append(view)?;
        Ok(Self { first, num_rows, values: Values::Host(stored) })
    }

    pub(crate) fn is_on_device(&self) -> bool {
        matches!(self.values, Values::Device(_))
    }

    /// The rows in single precision on the device; those of the host are sent there.
    pub(crate) fn rows(&self, device: &Device) -> Tensor<2> {
        match &self.values {
            Values::Device(rows) => rows.clone().cast(DType::F32),
            Values::Host(stored) => {
                let mut buffer = Vec::new();
                let rows = stored.read_rows(0, self.num_rows, &mut buffer).to_vec();
                matrix(rows, stored.feature_dim(), device)
            }
        }
    }

    /// Rows by their numbers in the chunk, read to the host.
    pub(crate) fn gather(&self, rows: &[i32], device: &Device) -> Result<Vec<f32>, ClusteringError> {
        match &self.values {
            Values::Device(values) => {
                let chosen = values.clone().select(0, int_vector(rows.to_vec(), device));
                floats(chosen, "rows were read")
            }
            Values::Host(stored) => {
                let mut buffer = Vec::new();
                Ok(rows
                    .iter()
                    .flat_map(|&row| stored.read_rows(row as usize, 1, &mut buffer).to_vec())
                    .collect())
            }
        }
    }
}
