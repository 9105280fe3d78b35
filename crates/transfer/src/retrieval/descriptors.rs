//! From images to vectors of length 1.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use deepcluster_clustering::{Whitening, WhiteningConfig};
use deepcluster_data::{CropBox, DEFAULT_MAX_PIXELS, Images, RgbImage8, normalized_image, resize_crop};
use deepcluster_engine::{Event, Observer, Phase, host_values};
use deepcluster_evaluation::normalized_rows;
use deepcluster_kernels::roi_max_pool;
use deepcluster_models::{DenseBackbone, export_weights};
use deepcluster_trainer::TrainedNetwork;
use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

use super::regions::rmac_regions;
use super::{RetrievalConfig, crop_box};
use crate::error::TransferError;
use crate::state_file::TaskState;
use crate::task_identity::{TaskIdentity, TaskSettings, fingerprint};

/// Images between two states.
const STATE_IMAGES: usize = 250;

/// An image, or a part of it.
#[derive(Debug, Clone)]
pub(super) struct RetrievalImage<'a> {
    pub(super) images: &'a Images,
    pub(super) image_index: usize,
    /// Left, upper, right and lower edge of the part.
    pub(super) crop: Option<(f32, f32, f32, f32)>,
}

impl<'a> RetrievalImage<'a> {
    pub(super) fn all(images: &'a Images) -> Vec<Self> {
        (0..images.len()).map(|image_index| Self { images, image_index, crop: None }).collect()
    }

    pub(super) fn name(&self) -> &'a str {
        self.images.name(self.image_index)
    }

    fn read(&self) -> Result<RgbImage8, TransferError> {
        let image = self.images.decode(self.image_index, DEFAULT_MAX_PIXELS)?;
        let Some(corners) = self.crop else { return Ok(image) };
        let crop: CropBox = crop_box(corners, image.width, image.height);
        Ok(resize_crop(&image, crop, crop.width, crop.height)?)
    }
}

/// Extraction of descriptors from images.
pub(super) struct Extraction<'a, N: DenseBackbone> {
    pub(super) trained: &'a TrainedNetwork<N>,
    pub(super) config: &'a RetrievalConfig,
    pub(super) states: Option<&'a Path>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ExtractionProgress {
    identity: TaskIdentity,
    num_images: usize,
}

impl<N: DenseBackbone> Extraction<'_, N> {
    /// Maxima of the regions of each image, `[regions, channels]`, each of length 1; `None` for an image that
    /// cannot be read. `name` is that of the state of this set of images.
    fn region_vectors(
        &self,
        name: &str,
        images: &[RetrievalImage],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Option<Array2<f32>>>, TransferError> {
        let state = self.states.map(|folder| super::state_file(folder, name));
        let keys: Vec<String> = images
            .iter()
            .map(|image| format!("{} {:?}", image.images.place(image.image_index), image.crop))
            .collect();
        let identity = TaskIdentity::new(
            TaskSettings::new(self.config, &[]),
            fingerprint(&export_weights(self.trained.network())?, keys.iter().map(|key| key.as_bytes())),
        );
        let mut vectors: Vec<Option<Array2<f32>>> = Vec::with_capacity(images.len());
        if let Some(path) = &state
            && let Some(saved) = TaskState::<ExtractionProgress>::load(path)?
        {
            identity.check(&saved.progress.identity, path)?;
            vectors = restored(saved, path, images.len())?;
        }
        let save = |vectors: &[Option<Array2<f32>>]| match &state {
            None => Ok(()),
            Some(path) => {
                let arrays = vectors.iter().enumerate().filter_map(|(index, vectors)| {
                    let vectors = vectors.as_ref()?;
                    let shape = [vectors.nrows(), vectors.ncols()];
                    let values: Vec<f32> = vectors.iter().copied().collect();
                    Some((index.to_string(), TensorData::new(values, shape)))
                });
                let progress = ExtractionProgress { identity: identity.clone(), num_images: vectors.len() };
                TaskState { progress, arrays: arrays.collect() }.save(path)
            }
        };
        let total = images.len();
        observer.event(&Event::Started { phase: Phase::images("features"), epoch: None, total });
        let first = vectors.len();
        for (index, image) in images.iter().enumerate().skip(first) {
            if observer.should_stop() {
                save(&vectors)?;
                return Err(TransferError::Stopped);
            }
            vectors.push(match image.read() {
                Ok(pixels) => Some(self.describe_image(&pixels)?),
                Err(error) => {
                    log::warn!("left out: {error}");
                    None
                }
            });
            if (index + 1).is_multiple_of(STATE_IMAGES) {
                save(&vectors)?;
            }
            observer.event(&Event::Progress { done: index + 1, loss: None });
        }
        let mut widths = vectors.iter().flatten().map(Array2::ncols);
        if let (Some(path), Some(width)) = (&state, widths.next())
            && widths.any(|other| other != width)
        {
            let reason = "its arrays are not all of one network".to_string();
            return Err(TransferError::Damaged { path: path.clone(), reason });
        }
        if first < images.len() {
            save(&vectors)?;
        }
        Ok(vectors)
    }

    fn describe_image(&self, image: &RgbImage8) -> Result<Array2<f32>, TransferError> {
        let scale = self.config.long_side as f32 / image.width.max(image.height) as f32;
        // A long strip still has a pixel for every step of the network.
        let least = self.trained.reading().input.side.min(64) as u32;
        let side = |length: u32| ((length as f32 * scale).round() as u32).max(least);
        let (width, height) = (side(image.width), side(image.height));
        let input = normalized_image(image, width, height, false, self.trained.reading().normalization())?;
        let shape = [1, 3, height as usize, width as usize];
        let pixels = Tensor::<4>::from_data(TensorData::new(input.values, shape), self.trained.device());
        let maps = self.trained.network().maps(pixels);
        let [_, channels, height, width] = maps.dims();
        let regions = rmac_regions(height, width, self.config.num_scales);
        let values = host_values(roi_max_pool(maps, &regions, 1), "while describing images")?;
        let vectors = Array2::from_shape_vec((regions.len(), channels), values)
            .expect("a tensor has the values of its shape");
        Ok(normalized_rows(vectors.view()))
    }
}

/// The content of a state for the first of `num_images` images.
fn restored(
    saved: TaskState<ExtractionProgress>,
    path: &Path,
    num_images: usize,
) -> Result<Vec<Option<Array2<f32>>>, TransferError> {
    let damaged = |reason: String| TransferError::Damaged { path: path.to_path_buf(), reason };
    let num_done = saved.progress.num_images;
    if num_done > num_images {
        return Err(damaged(format!("it holds {num_done} images, and there are {num_images}")));
    }
    let mut arrays: BTreeMap<String, TensorData> = saved.arrays;
    let restore = |index: usize| {
        let Some(data) = arrays.remove(&index.to_string()) else { return Ok(None) };
        let shape = data.shape().to_vec();
        let values = data.try_to_vec::<f32>().map_err(|error| damaged(format!("{error:?}")))?;
        let [rows, columns] = shape[..] else { return Err(damaged("an array is not a matrix".to_string())) };
        let matrix = Array2::from_shape_vec((rows, columns), values);
        Ok(Some(matrix.map_err(|error| damaged(error.to_string()))?))
    };
    (0..num_done).map(restore).collect()
}

/// The whitening of regions, learned on a set of images.
pub(super) struct RegionWhitening(Whitening);

impl RegionWhitening {
    pub(super) fn fit<N: DenseBackbone>(
        extraction: &Extraction<'_, N>,
        images: &[RetrievalImage],
        observer: &mut dyn Observer,
    ) -> Result<Self, TransferError> {
        let vectors: Vec<Array2<f32>> =
            extraction.region_vectors(super::WHITENING, images, observer)?.into_iter().flatten().collect();
        if vectors.is_empty() {
            let image = images.first().map(|image| image.images.place(image.image_index)).unwrap_or_default();
            return Err(TransferError::NoReadableImage { image });
        }
        let views: Vec<_> = vectors.iter().map(|matrix| matrix.view()).collect();
        let all = ndarray::concatenate(Axis(0), &views).expect("every region has as many values");
        let config = WhiteningConfig {
            num_components: extraction.config.num_components,
            whiten: true,
            normalize: true,
        };
        Ok(Self(config.fit(&all)?))
    }

    /// A vector of length 1 for each image that can be read: its regions whitened, of length 1, and summed.
    pub(super) fn describe<N: DenseBackbone>(
        &self,
        extraction: &Extraction<'_, N>,
        name: &str,
        images: &[RetrievalImage],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Option<Array1<f32>>>, TransferError> {
        let vectors = extraction.region_vectors(name, images, observer)?;
        let describe = |vectors: Option<Array2<f32>>| {
            let Some(vectors) = vectors else { return Ok(None) };
            let sum = self.0.transform(&vectors)?.sum_axis(Axis(0));
            Ok(Some(normalized_rows(sum.insert_axis(Axis(0)).view()).row(0).to_owned()))
        };
        vectors.into_iter().map(describe).collect()
    }
}
