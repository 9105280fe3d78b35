//! The features of a pass over the images.

use std::sync::OnceLock;

use burn::tensor::{DType, Device, FloatDType, Tensor};
use deepcluster_clustering::{ClusteringError, FeatureType, Whitening};
use deepcluster_kernels::{device_limits, device_memory_in_use, precise_matmul};
use ndarray::Array2;

use crate::features::device::chunk::Chunk;
use crate::features::device::read::{floats, matrix, vector};

/// Most bytes of a chunk: few enough that a second one beside it does not matter, enough that there are few.
const CHUNK_BYTES: u64 = 1 << 30;

/// Part of the memory of a device that features may take: the network, its activations and the work on the
/// features need the rest.
const FEATURE_PART: f64 = 0.5;

/// Bytes for features on a device that does not report its memory.
const UNKNOWN_MEMORY: u64 = 2 << 30;

/// Memory of a device that features may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of all features on the device; the rest waits on the host.
    pub total: u64,
    /// Bytes of a chunk.
    pub chunk: u64,
}

impl Room {
    /// Half of the memory that `device` has left, in chunks that are tensors of it.
    pub fn on(device: &Device) -> Self {
        let Some(limits) = device_limits(device) else {
            return Self { total: u64::MAX, chunk: CHUNK_BYTES };
        };
        let memory = limits.memory.unwrap_or(UNKNOWN_MEMORY);
        let left = memory.saturating_sub(device_memory_in_use(device));
        let total = (left as f64 * FEATURE_PART) as u64;
        Self { total, chunk: CHUNK_BYTES.min(limits.largest_tensor).min(total / 4).max(1) }
    }
}

/// Rows of features, `[num_rows, feature_dim]`, on a device as long as there is room, and on the host beyond.
#[derive(Debug)]
pub struct DeviceFeatures {
    device: Device,
    feature_dim: usize,
    feature_type: FeatureType,
    room: Room,
    pub(crate) chunks: Vec<Chunk>,
    /// Batches that do not fill a chunk yet.
    pending: Vec<Tensor<2>>,
    num_pending: usize,
    num_rows: usize,
    /// The largest magnitude of each column, once computed.
    pub(crate) column_maxima: OnceLock<Vec<f32>>,
}

impl DeviceFeatures {
    /// No rows yet, of `feature_dim` values each, which are kept as `feature_type`: halves only where the
    /// device knows them.
    pub fn new(device: &Device, feature_dim: usize, feature_type: FeatureType, room: Room) -> Self {
        let device = device.clone().without_autodiff();
        let has_halves = device.supports_dtype(FloatDType::F16);
        let feature_type = if has_halves { feature_type } else { FeatureType::F32 };
        Self {
            device,
            feature_dim,
            feature_type,
            room,
            chunks: Vec::new(),
            pending: Vec::new(),
            num_pending: 0,
            num_rows: 0,
            column_maxima: OnceLock::new(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.num_rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.num_rows == 0
    }

    /// Number of values of each row.
    pub fn feature_dim(&self) -> usize {
        self.feature_dim
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many of the rows are on the device.
    pub fn num_on_device(&self) -> usize {
        self.chunks.iter().filter(|chunk| chunk.is_on_device()).map(|chunk| chunk.num_rows).sum()
    }

    /// Adds rows, `[_, feature_dim]`, on the device.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: rows of another length.
    /// - [`ClusteringError::Device`]: the device failed, or has no memory left.
    /// - [`ClusteringError::BeyondF16`]: a value that halves cannot hold, where rows go to the host.
    pub fn append(&mut self, rows: Tensor<2>) -> Result<(), ClusteringError> {
        let [num_rows, actual] = rows.dims();
        if actual != self.feature_dim {
            let (what, expected) = ("the dimension of the features", self.feature_dim);
            return Err(ClusteringError::DimensionMismatch { what, expected, actual });
        }
        self.column_maxima.take();
        self.pending.push(rows.cast(self.dtype()));
        self.num_pending += num_rows;
        self.num_rows += num_rows;
        if self.num_pending >= self.rows_per_chunk() { self.close_chunk() } else { Ok(()) }
    }

    /// Completes the features; call after the last row.
    ///
    /// # Errors
    /// Those of [`append`](Self::append).
    pub fn finish(mut self) -> Result<Self, ClusteringError> {
        self.close_chunk()?;
        Ok(self)
    }

    /// Whitens the rows, to as many with [`Whitening::num_components`] values.
    ///
    /// # Errors
    /// - [`ClusteringError::DimensionMismatch`]: the whitening was fitted to another dimension.
    /// - [`ClusteringError::Device`]: the device failed.
    pub fn whitened(&self, whitening: &Whitening) -> Result<Self, ClusteringError> {
        let (expected, actual) = (whitening.feature_dim(), self.feature_dim);
        if expected != actual {
            let what = "the dimension of the features";
            return Err(ClusteringError::DimensionMismatch { what, expected, actual });
        }
        let num_components = whitening.num_components();
        let device = &self.device;
        // The mean in two parts, which keep its digits.
        let high: Vec<f32> = whitening.mean().iter().map(|&mean| mean as f32).collect();
        let low = whitening
            .mean()
            .iter()
            .zip(&high)
            .map(|(&mean, &high)| (mean - f64::from(high)) as f32)
            .collect();
        let [high, low] = [high, low].map(|part| vector(part, device).unsqueeze::<2>());
        // Each component times a power of two that brings it into the range of single precision, whatever the
        // features.
        let scales: Vec<f64> =
            whitening.components().chunks_exact(expected).map(power_of_two_above).collect();
        let components = whitening.components().chunks_exact(expected).zip(&scales);
        let components =
            components.flat_map(|(row, scale)| row.iter().map(move |&value| (value / scale) as f32));
        let components = matrix(components.collect(), expected, device).transpose();
        let scales = vector(scales.into_iter().map(|scale| scale as f32).collect(), device).unsqueeze::<2>();
        let mut whitened = Self::new(device, num_components, FeatureType::F32, self.room);
        for chunk in &self.chunks {
            for rows in row_blocks(chunk.rows(device), self.rows_per_product()) {
                let centred = rows - high.clone() - low.clone();
                let mut rows = precise_matmul(centred, components.clone()) * scales.clone();
                if whitening.normalizes() {
                    let norms = (rows.clone() * rows.clone()).sum_dim(1).sqrt();
                    // A row of zeros stays zero.
                    let is_zero = norms.clone().equal_elem(0.0);
                    rows = rows / norms.mask_fill(is_zero, 1.0);
                }
                whitened.append(rows)?;
            }
        }
        whitened.finish()
    }

    /// All rows, read to the host.
    ///
    /// # Errors
    /// - [`ClusteringError::Device`]: the device failed.
    pub fn to_matrix(&self) -> Result<Array2<f32>, ClusteringError> {
        let mut values = Vec::with_capacity(self.num_rows * self.feature_dim);
        for chunk in &self.chunks {
            values.extend(floats(chunk.rows(&self.device), "features were read")?);
        }
        Ok(Array2::from_shape_vec((self.num_rows, self.feature_dim), values)
            .expect("the chunks hold all rows"))
    }

    fn dtype(&self) -> DType {
        match self.feature_type {
            FeatureType::F32 => DType::F32,
            FeatureType::F16 => DType::F16,
        }
    }

    fn row_bytes(&self) -> u64 {
        (self.feature_dim * self.dtype().size()).max(1) as u64
    }

    fn rows_per_chunk(&self) -> usize {
        (self.room.chunk / self.row_bytes()).max(1) as usize
    }

    /// Rows whose copies take little of a chunk.
    pub(crate) fn rows_per_product(&self) -> usize {
        (self.room.chunk / 4 / (4 * self.feature_dim.max(1)) as u64).clamp(1, 1 << 14) as usize
    }

    fn close_chunk(&mut self) -> Result<(), ClusteringError> {
        let rows = match self.pending.len() {
            0 => return Ok(()),
            1 => self.pending.remove(0),
            _ => Tensor::cat(std::mem::take(&mut self.pending), 0),
        };
        let first = self.num_rows - self.num_pending;
        self.num_pending = 0;
        let taken = self.num_on_device() as u64 * self.row_bytes();
        let needed = rows.dims()[0] as u64 * self.row_bytes();
        let chunk = if taken + needed <= self.room.total {
            Chunk::on_device(first, rows)
        } else {
            if self.chunks.last().is_none_or(Chunk::is_on_device) {
                log::info!(
                    "features beyond the first {first} wait on the host: the device has no room for all"
                );
            }
            Chunk::on_host(first, rows, self.feature_type)?
        };
        self.chunks.push(chunk);
        Ok(())
    }
}

/// The rows of a tensor, at most `count` at a time.
pub(crate) fn row_blocks(rows: Tensor<2>, count: usize) -> impl Iterator<Item = Tensor<2>> {
    let num_rows = rows.dims()[0];
    (0..num_rows).step_by(count).map(move |first| rows.clone().narrow(0, first, count.min(num_rows - first)))
}

/// A power of two not below the magnitude of any value, in the range of single precision; 1 for zeros.
fn power_of_two_above(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest > 0.0 { (largest.log2().ceil().clamp(-120.0, 120.0)).exp2() } else { 1.0 }
}
