//! Linear classifiers on frozen convolutions.

mod config;
mod curves;

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use deepcluster_data::{Loader, Sample, Transform};
use deepcluster_engine::{
    EpochOf, Event, ImagePass, ImageReading, Observer, Phase, Sgd, host_values, images_tensor,
};
use deepcluster_evaluation::top_k_accuracy;
use deepcluster_models::{Activation, Backbone, Head, LayerInfo, LayerKind, export_weights, import_weights};
use ndarray::{Array2, Axis};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::TransferError;
use crate::fine_tuning::fingerprint;
use crate::labelled_folder::{LabelledFolder, LabelledPair};
use crate::pooled_taps::pool_activation;
use crate::state_file::{TaskState, check_velocities};

pub use config::LinearProbeConfig;
pub use curves::{LayerCurve, ProbeEpoch};

/// Kinds of arrays in a state.
const WEIGHT: &str = "weight";
const VELOCITY: &str = "velocity";

/// Linear classifiers on every convolution of a frozen network, all trained in the same passes over the
/// images.
pub struct LinearProbe<'a, B: Backbone> {
    network: &'a B,
    device: Device,
    config: LinearProbeConfig,
    data: &'a LabelledPair,
    reading: &'a ImageReading,
    train_loader: Loader,
    train_transform: Transform,
    test_transform: Transform,
    layers: Vec<ProbedLayer>,
    num_steps: usize,
}

/// How far the probes are, and of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ProbeProgress {
    config: LinearProbeConfig,
    /// Sum of the network's weights and of the names of the images, which must be those of before.
    fingerprint: u32,
    num_steps: usize,
    curves: Vec<LayerCurve>,
}

struct ProbedLayer {
    /// Position among the layers that can be probed.
    position: usize,
    classifier: Option<Head>,
    sgd: Sgd,
    curve: LayerCurve,
}

/// Names of the layers that can be probed: those with maps or tokens, or all of a network without.
fn probed_layers<B: Backbone>(network: &B) -> Vec<String> {
    let layers = network.layers();
    let is_inner = |layer: &&LayerInfo| matches!(layer.kind, LayerKind::Convolution | LayerKind::Tokens);
    let inner: Vec<String> = layers.iter().filter(is_inner).map(|layer| layer.name.clone()).collect();
    if inner.is_empty() { layers.into_iter().map(|layer| layer.name).collect() } else { inner }
}

impl<'a, B: Backbone> LinearProbe<'a, B> {
    /// Prepares probes of `network`, which lies on `device` without autodiff. `reading` is that of its run,
    /// from which the size of the crops comes.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`], [`TransferError::UnknownLayer`], or what the loader reports.
    pub fn new(
        network: &'a B,
        reading: &'a ImageReading,
        device: &Device,
        data: &'a LabelledPair,
        config: LinearProbeConfig,
    ) -> Result<Self, TransferError> {
        config.validate()?;
        let known: Vec<String> = probed_layers(network);
        let positions: Vec<usize> = if config.layers.is_empty() {
            (0..known.len()).collect()
        } else {
            let position = |layer: &String| {
                let found = known.iter().position(|name| name == layer);
                found.ok_or_else(|| TransferError::UnknownLayer {
                    layer: layer.clone(),
                    known: known.join(", "),
                })
            };
            config.layers.iter().map(position).collect::<Result<_, _>>()?
        };
        let layers = positions.into_iter().map(|position| ProbedLayer {
            position,
            classifier: None,
            sgd: Sgd::new(config.learning_rate, config.momentum, config.weight_decay),
            curve: LayerCurve { layer: known[position].clone(), num_values: 0, epochs: Vec::new() },
        });
        let (size, resize) = (reading.input.side as u32, reading.input.resize);
        let normalization = reading.normalization();
        let test_transform = if config.ten_crops {
            Transform::OneOfTen { resize, size, normalization }
        } else {
            Transform::Center { resize, size, normalization }
        };
        Ok(Self {
            network,
            device: device.clone().without_autodiff(),
            data,
            reading,
            train_loader: Loader::new(data.train.images.clone(), reading.loader.clone())?,
            train_transform: Transform::RandomPlace { resize, size, flip_probability: 0.5, normalization },
            test_transform,
            layers: layers.collect(),
            num_steps: 0,
            config,
        })
    }

    /// Trains and tests for all epochs; gives the course of every layer, in the order of the network. With a
    /// `state` file, which is written after every epoch, probes that were stopped go on where they were, and
    /// end as if they had not been; more epochs than before may be asked for.
    ///
    /// # Errors
    /// [`TransferError::Stopped`] on request of `observer`, [`TransferError::Device`],
    /// [`TransferError::Evaluation`] where no test image can be read; [`TransferError::OtherTask`] and
    /// [`TransferError::Damaged`] for a `state` that cannot be gone on from.
    pub fn run(
        mut self,
        state: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<LayerCurve>, TransferError> {
        let fingerprint = if state.is_some() { self.fingerprint()? } else { 0 };
        let mut first = 0;
        if let Some(path) = state
            && let Some(saved) = TaskState::<ProbeProgress>::load(path)?
        {
            first = self.restore(saved, fingerprint, path)?;
        }
        for epoch in first..self.config.epochs {
            let losses = self.train_epoch(epoch, observer)?;
            let (scores, labels) = self.test(epoch, observer)?;
            for ((layer, loss), scores) in self.layers.iter_mut().zip(losses).zip(scores) {
                layer.curve.epochs.push(ProbeEpoch {
                    epoch,
                    loss,
                    top1: top_k_accuracy(scores.view(), &labels, 1)?,
                    top5: top_k_accuracy(scores.view(), &labels, 5)?,
                });
            }
            if let Some(path) = state {
                self.state(fingerprint)?.save(path)?;
            }
        }
        Ok(self.layers.into_iter().map(|layer| layer.curve).collect())
    }

    /// A sum of the network's weights and of the names and labels of the images.
    fn fingerprint(&self) -> Result<u32, TransferError> {
        let images = [&self.data.train, &self.data.test].into_iter().flat_map(LabelledFolder::described);
        let images: Vec<Vec<u8>> = images.collect();
        Ok(fingerprint(&export_weights(self.network)?, images.iter().map(Vec::as_slice)))
    }

    fn state(&self, fingerprint: u32) -> Result<TaskState<ProbeProgress>, TransferError> {
        let mut arrays = BTreeMap::new();
        for layer in &self.layers {
            let name = &layer.curve.layer;
            if let Some(classifier) = &layer.classifier {
                for (part, data) in export_weights(classifier)? {
                    arrays.insert(format!("{name}.{WEIGHT}.{part}"), data);
                }
            }
            for (part, data) in layer.sgd.export()? {
                arrays.insert(format!("{name}.{VELOCITY}.{part}"), data);
            }
        }
        let progress = ProbeProgress {
            config: self.config.clone(),
            fingerprint,
            num_steps: self.num_steps,
            curves: self.layers.iter().map(|layer| layer.curve.clone()).collect(),
        };
        Ok(TaskState { progress, arrays })
    }

    /// Takes over the state that was saved; gives the number of epochs that are done.
    fn restore(
        &mut self,
        saved: TaskState<ProbeProgress>,
        fingerprint: u32,
        path: &Path,
    ) -> Result<usize, TransferError> {
        let other = |what| Err(TransferError::OtherTask { path: path.to_path_buf(), what });
        let TaskState { progress, mut arrays } = saved;
        if progress.fingerprint != fingerprint {
            return other("the network, or the images,");
        }
        if (LinearProbeConfig { epochs: self.config.epochs, ..progress.config }) != self.config {
            return other("a setting");
        }
        let device = self.device.clone().autodiff();
        let num_classes = self.data.class_names.len();
        let names =
            |curves: &[LayerCurve]| curves.iter().map(|curve| curve.layer.clone()).collect::<Vec<_>>();
        let own: Vec<LayerCurve> = self.layers.iter().map(|layer| layer.curve.clone()).collect();
        if names(&progress.curves) != names(&own) {
            return other("the list of layers");
        }
        for (layer, curve) in self.layers.iter_mut().zip(progress.curves) {
            let mut take = |kind: &str| -> BTreeMap<String, TensorData> {
                let prefix = format!("{}.{kind}.", curve.layer);
                let names: Vec<String> =
                    arrays.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
                names
                    .into_iter()
                    .filter_map(|name| Some((name[prefix.len()..].to_string(), arrays.remove(&name)?)))
                    .collect()
            };
            let (weights, velocities) = (take(WEIGHT), take(VELOCITY));
            let damaged = |reason: String| TransferError::Damaged { path: path.to_path_buf(), reason };
            // Before a classifier of that size is made.
            let size: usize = weights.values().map(TensorData::num_elements).sum();
            if curve.num_values.checked_add(1).and_then(|rows| rows.checked_mul(num_classes)) != Some(size) {
                let reason = format!(
                    "its classifier of {} is not one of {} values and {num_classes} classes",
                    curve.layer, curve.num_values
                );
                return Err(damaged(reason));
            }
            check_velocities(&velocities, &weights).map_err(damaged)?;
            let classifier = Head::new(curve.num_values, num_classes, 0, &device);
            layer.classifier = Some(import_weights(classifier, weights)?);
            layer.sgd.import(velocities, &self.device);
            layer.curve = curve;
        }
        self.num_steps = progress.num_steps;
        Ok(self.layers.first().map_or(0, |layer| layer.curve.epochs.len()))
    }

    /// An epoch among all, to report.
    fn place(&self, epoch: usize) -> EpochOf {
        EpochOf { epoch, num_epochs: self.config.epochs }
    }

    /// One pass over the training images; returns the mean loss of each layer.
    fn train_epoch(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<Vec<f64>, TransferError> {
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

    /// Activations of the probed layers, in their order.
    fn activations(&self, images: Tensor<4>) -> Vec<Activation> {
        let names: Vec<&str> = self.layers.iter().map(|layer| layer.curve.layer.as_str()).collect();
        self.network.activations(images, &names)
    }

    /// Moves every classifier down the gradient of its cross-entropy on a batch; gives the losses.
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
            let seed = self.config.seed.wrapping_mul(1_000_003).wrapping_add(layer.position as u64);
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
        let mut images = self.data.train.labelled_images();
        let mut generator = ChaCha8Rng::seed_from_u64(self.config.seed);
        generator.set_stream(epoch as u64 + 1);
        images.shuffle(&mut generator);
        let sample = |image_index| Sample { image_index, augmentation_seed: generator.random() };
        let samples: Vec<Sample> = images.into_iter().map(sample).collect();
        samples.chunks(self.config.batch_size).map(<[Sample]>::to_vec).collect()
    }

    /// Probabilities of the classes by every layer for the test images that can be read, and their labels.
    fn test(
        &self,
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Array2<f32>>, Vec<u32>), TransferError> {
        let images = self.data.test.labelled_images();
        let num_crops = if self.config.ten_crops { 10 } else { 1 };
        let samples = images.iter().flat_map(|&image_index| {
            (0..num_crops).map(move |crop| Sample { image_index, augmentation_seed: crop })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use deepcluster_data::{LabelSource, SyntheticConfig, write_synthetic_folder};
    use deepcluster_models::{Architecture, ConvNet, ConvNetConfig};

    use deepcluster_trainer::TrainConfig;

    use super::*;

    fn reading() -> ImageReading {
        let mut settings = TrainConfig::default();
        settings.data.image_size = 32;
        settings.reading()
    }

    fn network(device: &Device) -> ConvNet {
        ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.125).unwrap().init(1, device).unwrap()
    }

    fn drawings(folder: &std::path::Path) -> LabelledPair {
        for (name, seed, num_images) in [("train", 1, 120), ("test", 2, 60)] {
            let drawings = SyntheticConfig { num_images, image_size: 32, seed };
            write_synthetic_folder(&folder.join(name), &drawings, &mut |_| {}).unwrap();
        }
        LabelledPair::scan(&folder.join("train"), &folder.join("test"), &LabelSource::Auto).unwrap()
    }

    fn probe(data: &LabelledPair, config: LinearProbeConfig) -> Vec<LayerCurve> {
        let device = Device::flex();
        let network = network(&device);
        LinearProbe::new(&network, &reading(), &device, data, config).unwrap().run(None, &mut ()).unwrap()
    }

    #[test]
    fn probes_learn_and_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let data = drawings(folder.path());
        let config = LinearProbeConfig {
            epochs: 6,
            batch_size: 20,
            learning_rate: 1e-3,
            ..LinearProbeConfig::default()
        };
        let curves = probe(&data, config.clone());
        let layers: Vec<&str> = curves.iter().map(|curve| curve.layer.as_str()).collect();
        assert_eq!(layers, ["conv1", "conv2", "conv3", "conv4", "conv5"]);
        for curve in &curves {
            assert_eq!(curve.epochs.len(), 6);
            let (first, last) = (curve.epochs[0], curve.last().unwrap());
            assert!(last.loss < first.loss, "{}: {} then {}", curve.layer, first.loss, last.loss);
            assert!(last.top5 >= last.top1);
        }
        let chance = 1.0 / data.class_names.len() as f64;
        let best = curves.iter().filter_map(|curve| Some(curve.best()?.top1)).fold(0.0, f64::max);
        assert!(best > 1.5 * chance, "{best} is no better than {chance}");
        assert_eq!(probe(&data, config), curves);
    }

    #[test]
    fn stopped_probes_end_as_if_they_had_not_been() {
        let folder = tempfile::tempdir().unwrap();
        let data = drawings(folder.path());
        let state = folder.path().join("state.safetensors");
        let config = LinearProbeConfig {
            epochs: 3,
            batch_size: 20,
            learning_rate: 1e-3,
            layers: vec!["conv2".to_string(), "conv5".to_string()],
            ..LinearProbeConfig::default()
        };
        let device = Device::flex();
        let network = network(&device);
        let reading = reading();
        let run = |config: LinearProbeConfig| {
            let probe = LinearProbe::new(&network, &reading, &device, &data, config).unwrap();
            probe.run(Some(&state), &mut ())
        };
        run(LinearProbeConfig { epochs: 1, ..config.clone() }).unwrap();
        let resumed = run(config.clone()).unwrap();
        assert_eq!(resumed, probe(&data, config.clone()));
        // Nothing is left to do, and nothing else may be done with it.
        assert_eq!(run(config.clone()).unwrap(), resumed);
        let error = run(LinearProbeConfig { learning_rate: 0.5, ..config }).unwrap_err().to_string();
        assert!(error.contains("a setting differs"), "{error}");
    }

    #[test]
    fn one_layer_alone_gives_what_it_gives_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let data = drawings(folder.path());
        let config =
            LinearProbeConfig { epochs: 1, batch_size: 20, ten_crops: true, ..LinearProbeConfig::default() };
        let all = probe(&data, config.clone());
        let alone = probe(&data, LinearProbeConfig { layers: vec!["conv3".to_string()], ..config });
        assert_eq!(alone, all[2..3]);
    }

    #[test]
    fn impossible_settings_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let data = drawings(folder.path());
        let device = Device::flex();
        let network = network(&device);
        let refused = |config: LinearProbeConfig| {
            LinearProbe::new(&network, &reading(), &device, &data, config).err().unwrap().to_string()
        };
        let default = LinearProbeConfig::default;
        assert!(refused(LinearProbeConfig { epochs: 0, ..default() }).starts_with("epochs = 0"));
        assert!(
            refused(LinearProbeConfig { learning_rate: f64::NAN, ..default() }).starts_with("learning_rate")
        );
        let error = refused(LinearProbeConfig { layers: vec!["fc9".to_string()], ..default() });
        assert!(error.contains("'fc9'") && error.contains("conv1, conv2"), "{error}");
    }
}
