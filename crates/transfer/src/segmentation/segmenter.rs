//! The fully convolutional network.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use deepcluster_models::{DenseBackbone, Head, Pass};

use super::upsampling::upsample;
use crate::fine_tuning::trunk_maps;

/// A trunk whose fully connected layers see every place, and a score for each class there.
#[derive(Module, Debug)]
pub(super) struct Segmenter<N: DenseBackbone> {
    network: N,
    scores: Head,
}

impl<N: DenseBackbone> Segmenter<N> {
    /// Scores of 0, as the fully convolutional networks begin with.
    pub(super) fn new(network: N, num_classes: usize, device: &Device) -> Self {
        let scores = Head::with_initial(network.feature_dim(), num_classes, 0.0, 0.0, 0, device);
        Self { network, scores }
    }

    /// Scores `[classes, height, width]` at the given size, for an image `[1, 3, h, w]` on a device without
    /// autodiff. The network has autodiff.
    pub(super) fn forward(
        &self,
        image: Tensor<4>,
        frozen: Option<&N>,
        size: (usize, usize),
        dropout: &Pass,
    ) -> Tensor<3> {
        let [_, _, height, width] = image.dims();
        let pooled = trunk_maps(&self.network, frozen, image, pooled_maps);
        self.upsampled(pooled, (height, width), size, dropout)
    }

    /// As [`forward`](Self::forward), of a network without autodiff.
    pub(super) fn forward_inference(
        &self,
        image: Tensor<4>,
        frozen: Option<&N>,
        size: (usize, usize),
    ) -> Tensor<3> {
        let [_, _, height, width] = image.dims();
        let pooled = pooled_maps(frozen.unwrap_or(&self.network), image);
        self.upsampled(pooled, (height, width), size, &Pass::inference())
    }

    fn upsampled(
        &self,
        pooled: Tensor<4>,
        input: (usize, usize),
        size: (usize, usize),
        dropout: &Pass,
    ) -> Tensor<3> {
        let features = self.network.dense_features(pooled, dropout);
        let [_, channels, height, width] = features.dims();
        let cells: Tensor<2> = features.permute([0, 2, 3, 1]).reshape([height * width, channels]);
        let scores = self.scores.forward(self.network.head_input(cells)); // [h * w, classes]
        let num_classes = scores.dims()[1];
        let scores = scores.transpose().reshape([num_classes, height, width]);
        upsample(scores, self.network.dense_geometry(), input, size)
    }
}

fn pooled_maps<N: DenseBackbone>(network: &N, images: Tensor<4>) -> Tensor<4> {
    network.pooled_maps(images)
}
