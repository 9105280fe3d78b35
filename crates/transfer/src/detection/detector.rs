//! The network of Fast R-CNN.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_data::{DEFAULT_MAX_PIXELS, DataError, Images, Normalization, normalized_image};
use deepcluster_evaluation::BoundingBox;
use deepcluster_kernels::{MapRegion, roi_max_pool};
use deepcluster_models::{DenseBackbone, Head, MapGeometry, Pass};

use super::DetectionConfig;
use crate::task_seeds::TaskSeeds;

/// A trunk with two heads: the class of a region, and for each class how its box becomes that of the object.
#[derive(Module, Debug)]
pub(super) struct Detector<N: DenseBackbone> {
    pub(super) network: N,
    classes: Head,
    transforms: Head,
}

impl<N: DenseBackbone> Detector<N> {
    /// New heads on a network that is ready to learn.
    pub(super) fn new(network: N, num_classes: usize, seeds: TaskSeeds, device: &Device) -> Self {
        let features = network.feature_dim();
        Self {
            network,
            classes: Head::with_initial(features, num_classes + 1, 0.01, 0.0, seeds.head(0), device),
            transforms: Head::with_initial(
                features,
                4 * (num_classes + 1),
                0.001,
                0.0,
                seeds.head(1),
                device,
            ),
        }
    }

    /// Scores `[regions, classes + 1]` and transforms `[regions, 4 (classes + 1)]` of regions pooled to
    /// `[regions, channels, side, side]`.
    pub(super) fn forward(&self, pooled: Tensor<4>, dropout: &Pass) -> (Tensor<2>, Tensor<2>) {
        let features = self.network.features_of_pooled(pooled, dropout);
        let features = self.network.head_input(features);
        (self.classes.forward(features.clone()), self.transforms.forward(features))
    }

    /// Regions of the maps of one image, pooled to the squares the fully connected layers take.
    pub(super) fn pool(&self, maps: Tensor<4>, boxes: &[BoundingBox], scale: f32) -> Tensor<4> {
        let [_, _, height, width] = maps.dims();
        let geometry = self.network.map_geometry();
        let regions: Vec<MapRegion> =
            boxes.iter().map(|bounds| map_region(bounds, scale, geometry, height, width)).collect();
        roi_max_pool(maps, &regions, self.network.pooled_side())
    }
}

/// The cells nearest to the corners of a box of the unresized image.
fn map_region(
    bounds: &BoundingBox,
    scale: f32,
    geometry: MapGeometry,
    height: usize,
    width: usize,
) -> MapRegion {
    let cell = |pixel: f32, length: usize| {
        let cell = ((f64::from(pixel * scale) - geometry.first) / geometry.stride).round();
        // Casts of negative numbers are 0.
        (cell as usize).min(length - 1)
    };
    MapRegion {
        image: 0,
        top: cell(bounds.y_min, height),
        left: cell(bounds.x_min, width),
        bottom: cell(bounds.y_max, height),
        right: cell(bounds.x_max, width),
    }
}

/// An image as the detector sees it.
pub(super) struct DetectorImage {
    /// `[1, 3, height, width]`, on a device without autodiff.
    pub(super) pixels: Tensor<4>,
    /// Pixels of it per pixel of the file.
    pub(super) scale: f32,
    /// Width of the file in pixels.
    pub(super) width: u32,
    /// Height of the file in pixels.
    pub(super) height: u32,
}

impl DetectorImage {
    /// Reads an image and resizes it to the sides of `config`.
    pub(super) fn read(
        images: &Images,
        image_index: usize,
        config: &DetectionConfig,
        mirror: bool,
        normalization: Normalization,
        device: &Device,
    ) -> Result<Self, DataError> {
        let image = images.decode(image_index, DEFAULT_MAX_PIXELS)?;
        let (short, long) = (image.width.min(image.height), image.width.max(image.height));
        let scale = (config.short_side as f32 / short as f32).min(config.long_side as f32 / long as f32);
        let side = |length: u32| ((length as f32 * scale).round() as u32).max(1);
        let resized = normalized_image(&image, side(image.width), side(image.height), mirror, normalization)?;
        let shape = [1, 3, resized.height as usize, resized.width as usize];
        let pixels = Tensor::from_data(TensorData::new(resized.values, shape), device);
        Ok(Self { pixels, scale, width: image.width, height: image.height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_get_the_cells_nearest_to_their_corners() {
        let geometry = MapGeometry { stride: 16.0, first: 15.0 };
        let bounds = BoundingBox { x_min: 0.0, y_min: 20.0, x_max: 100.0, y_max: 30.0 };
        // Twice as large: rows 40 and 60 are nearest to cells 2 (47) and 3 (63), column 200 to 12 (207).
        let region = map_region(&bounds, 2.0, geometry, 30, 12);
        assert_eq!(region, MapRegion { image: 0, top: 2, left: 0, bottom: 3, right: 11 });
    }
}
