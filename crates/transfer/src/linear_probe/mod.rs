//! Linear classifiers on frozen convolutions.

mod config;
mod curves;
mod state;
mod testing;
mod training;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use deepcluster_data::{Loader, Transform};
use deepcluster_engine::{EpochOf, ImageReading, Observer, Sgd};
use deepcluster_evaluation::top_k_accuracy;
use deepcluster_models::{Activation, Backbone, Head, LayerInfo, LayerKind};

use crate::error::TransferError;
use crate::labelled_folder::LabelledPair;
use crate::state_file::TaskState;
use state::ProbeProgress;

pub use config::LinearProbeConfig;
pub use curves::{LayerCurve, ProbeEpoch};

/// Linear classifiers on every convolution of a frozen network, all trained in the same passes over the
/// images.
///
/// ```no_run
/// use std::path::Path;
///
/// use deepcluster_data::LabelSource;
/// use deepcluster_engine::parse_device;
/// use deepcluster_trainer::{RunDirectory, TrainedNetwork};
/// use deepcluster_transfer::{LabelledPair, LinearProbe, LinearProbeConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = parse_device("auto")?;
/// let trained = TrainedNetwork::load(&RunDirectory::open(Path::new("run"))?, &device)?;
/// let data = LabelledPair::scan(Path::new("train"), Path::new("test"), &LabelSource::Auto)?;
/// let reading = trained.reading();
/// let config = LinearProbeConfig { epochs: 10, ..LinearProbeConfig::default() };
/// let probe = LinearProbe::new(trained.network(), &reading, &device, &data, config)?;
/// for curve in probe.run(Some(Path::new("state.safetensors")), &mut ())? {
///     println!("{}: {:?}", curve.layer, curve.best());
/// }
/// # Ok(())
/// # }
/// ```
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
    /// Prepares probes of `network`, which lies on `device` without autodiff. `reading` is that of its run
    /// and determines the size of the crops.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`], [`TransferError::UnknownLayer`], [`TransferError::Data`].
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

    /// Trains and tests for all epochs; returns the curve of every layer, in the order of the network. With a
    /// `state` file, which is written after every epoch, stopped probes are resumed, with the same results as
    /// without the stop; the number of epochs may be larger than before.
    ///
    /// # Errors
    /// [`TransferError::Stopped`] on request of `observer`, [`TransferError::Device`],
    /// [`TransferError::Evaluation`] where no test image can be read; [`TransferError::OtherTask`] and
    /// [`TransferError::Damaged`] for a `state` that cannot be resumed.
    pub fn run(
        mut self,
        state: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<LayerCurve>, TransferError> {
        let state = state.map(|path| Ok::<_, TransferError>((path, self.identity()?))).transpose()?;
        let mut first = 0;
        if let Some((path, identity)) = &state
            && let Some(saved) = TaskState::<ProbeProgress>::load(path)?
        {
            first = self.restore(saved, identity, path)?;
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
            if let Some((path, identity)) = &state {
                self.state(identity)?.save(path)?;
            }
        }
        Ok(self.layers.into_iter().map(|layer| layer.curve).collect())
    }

    /// An epoch among all, for events.
    fn place(&self, epoch: usize) -> EpochOf {
        EpochOf { epoch, num_epochs: self.config.epochs }
    }

    /// Activations of the probed layers, in their order.
    fn activations(&self, images: Tensor<4>) -> Vec<Activation> {
        let names: Vec<&str> = self.layers.iter().map(|layer| layer.curve.layer.as_str()).collect();
        self.network.activations(images, &names)
    }
}

#[cfg(test)]
mod tests {
    use deepcluster_data::{LabelSource, SyntheticConfig, write_synthetic_folder};
    use deepcluster_models::{Architecture, ConvNet, ConvNetConfig};

    use deepcluster_trainer::TrainConfig;

    use super::*;

    fn reading() -> ImageReading {
        let mut settings = TrainConfig::default();
        settings.images.size = 32;
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
        assert!(error.contains("learning_rate is 0.001, not 0.5"), "{error}");
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
