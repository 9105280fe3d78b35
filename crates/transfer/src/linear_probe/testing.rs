//! Scores of probes.

use burn::module::Module;
use burn::tensor::{Tensor, activation};
use deepcluster_data::{Loader, Sample};
use deepcluster_engine::{ImagePass, Observer, Phase, host_values};
use deepcluster_models::Backbone;
use ndarray::{Array2, Axis};

use super::LinearProbe;
use crate::error::TransferError;
use crate::pooled_taps::pool_activation;

impl<B: Backbone> LinearProbe<'_, B> {
    /// Probabilities of the classes by every layer for the test images that can be read, and their labels.
    pub(super) fn test(
        &self,
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Array2<f32>>, Vec<u32>), TransferError> {
        let images = self.data.test.labelled_images();
        let num_crops = if self.config.ten_crops { 10 } else { 1 };
        let samples = images.iter().flat_map(|&image_index| {
            (0..num_crops).map(move |crop| Sample { image_index, augmentation_seed: 0, crop })
        });
        let loader = Loader::new(self.data.test.images.clone(), self.reading.loader.clone())?;
        let pass = ImagePass {
            loader: &loader,
            transform: self.test_transform,
            samples: samples.collect(),
            batch_size: self.reading.batch_size,
            device: &self.device,
            phase: Phase::images("testing"),
            epoch: Some(self.place(epoch)),
        };
        let (num_images, num_classes) = (self.data.test.labels.len(), self.data.class_names.len());
        let mut sums = vec![Array2::<f32>::zeros((num_images, num_classes)); self.layers.len()];
        let mut is_read = vec![false; num_images];
        let passed = pass.run(observer, |batch, image_indices| {
            for (sums, probabilities) in sums.iter_mut().zip(&self.probabilities(batch)?) {
                for (row, &image) in probabilities.rows().into_iter().zip(image_indices) {
                    let mut sum = sums.row_mut(image);
                    sum += &row;
                }
            }
            image_indices.iter().for_each(|&image| is_read[image] = true);
            Ok::<(), TransferError>(())
        })?;
        passed.ok_or(TransferError::Stopped)?;
        let read: Vec<usize> = (0..num_images).filter(|&image| is_read[image]).collect();
        let labels = read.iter().filter_map(|&image| self.data.test.labels[image]).collect();
        Ok((sums.into_iter().map(|sums| sums.select(Axis(0), &read)).collect(), labels))
    }

    /// Probabilities of the classes for a batch, `[batch, num_classes]`, by every layer.
    fn probabilities(&self, images: Tensor<4>) -> Result<Vec<Array2<f32>>, TransferError> {
        let activations = self.activations(images);
        let mut all = Vec::with_capacity(self.layers.len());
        for (layer, activation) in self.layers.iter().zip(activations) {
            let classifier = layer.classifier.as_ref().expect("a test comes after a training");
            let logits = classifier.valid().forward(pool_activation(activation));
            let probabilities = activation::softmax(logits, 1);
            let shape = (probabilities.dims()[0], probabilities.dims()[1]);
            let values = host_values(probabilities, "while testing a probe")?;
            all.push(Array2::from_shape_vec(shape, values).expect("a tensor has the values of its shape"));
        }
        Ok(all)
    }
}
