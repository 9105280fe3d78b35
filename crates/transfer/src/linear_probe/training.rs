//! Training of probes.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor, TensorData};
use deepcluster_data::Sample;
use deepcluster_engine::{Event, Observer, Phase, images_tensor};
use deepcluster_models::{Backbone, Head};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::LinearProbe;
use crate::error::TransferError;
use crate::pooled_taps::pool_activation;
use crate::task_seeds::TaskSeeds;

impl<B: Backbone> LinearProbe<'_, B> {
    /// One pass over the training images; returns the mean loss of each layer.
    pub(super) fn train_epoch(
        &mut self,
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<f64>, TransferError> {
        let plan = self.training_plan(epoch);
        let total: usize = plan.iter().map(Vec::len).sum();
        observer.event(&Event::Started {
            phase: Phase::images("training"),
            epoch: Some(self.place(epoch)),
            total,
        });
        let mut sums = vec![0.0; self.layers.len()];
        let (mut done, mut num_steps) = (0, 0);
        for batch in self.train_loader.batches(self.train_transform, plan) {
            if observer.should_stop() {
                return Err(TransferError::Stopped);
            }
            done += batch.image_indices.len() + batch.failures.len();
            if batch.image_indices.is_empty() {
                continue;
            }
            let labels: Vec<u32> =
                batch.image_indices.iter().filter_map(|&image| self.data.train.labels[image]).collect();
            let losses = self.step(images_tensor(&batch, &self.device), &labels)?;
            sums.iter_mut().zip(&losses).for_each(|(sum, loss)| *sum += loss);
            num_steps += 1;
            let last = losses.last().copied();
            observer.event(&Event::Progress { done, loss: last });
        }
        Ok(sums.into_iter().map(|sum| sum / f64::from(num_steps.max(1))).collect())
    }

    /// Moves every classifier down the gradient of its cross-entropy on a batch; returns the losses.
    fn step(&mut self, images: Tensor<4>, labels: &[u32]) -> Result<Vec<f64>, TransferError> {
        let device = self.device.clone().autodiff();
        let targets: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [labels.len()]), &device);
        let activations = self.activations(images);
        let learning_rate = self.config.learning_rate_at(self.num_steps);
        self.num_steps += 1;
        let num_classes = self.data.class_names.len();
        let mut losses = Vec::with_capacity(self.layers.len());
        for (layer, activation) in self.layers.iter_mut().zip(activations) {
            let values: Tensor<2> = Tensor::from_inner(pool_activation(activation));
            let num_values = values.dims()[1];
            let seed = TaskSeeds::new(self.config.seed).head(layer.position);
            let classifier = match layer.classifier.take() {
                Some(classifier) => classifier,
                None => Head::new(num_values, num_classes, seed, &device),
            };
            layer.curve.num_values = num_values;
            let logits = classifier.forward(values); // [batch, num_classes]
            let loss = CrossEntropyLossConfig::new().init(&device).forward(logits, targets.clone());
            let value = loss.clone().try_into_scalar::<f32>();
            let value = value.map_err(|error| TransferError::device("while training a probe", error))?;
            let mut gradients = loss.backward();
            let gradients = GradientsParams::from_module(&mut gradients, &classifier);
            layer.sgd.learning_rate = learning_rate;
            layer.classifier = Some(layer.sgd.step(classifier, gradients));
            losses.push(f64::from(value));
        }
        Ok(losses)
    }

    /// Every training image once, in random order.
    fn training_plan(&self, epoch: usize) -> Vec<Vec<Sample>> {
        let seeds = TaskSeeds::new(self.config.seed);
        let mut images = self.data.train.labelled_images();
        images.shuffle(&mut ChaCha8Rng::seed_from_u64(seeds.order(epoch)));
        let sample = |(position, image_index)| Sample {
            image_index,
            augmentation_seed: seeds.augmentation(epoch, position),
            crop: 0,
        };
        let samples: Vec<Sample> = images.into_iter().enumerate().map(sample).collect();
        samples.chunks(self.config.batch_size).map(<[Sample]>::to_vec).collect()
    }
}
