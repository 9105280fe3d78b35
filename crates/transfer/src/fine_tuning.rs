//! Training a network on a task with labels, step by step, with a state to go on from.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use deepcluster_data::{Batches, ImageBatch, Loader, Sample, Transform};
use deepcluster_engine::{Event, Observer, Phase, Sgd};
use deepcluster_models::{Backbone, DenseBackbone, Head, NamedWeights, Pass, export_weights, import_weights};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};
use crate::state_file::{TaskState, check_velocities};

/// Steps between two states.
const STATE_STEPS: usize = 500;
/// Steps that a value of a loss curve is the mean of.
const CURVE_STEPS: usize = 50;

const WEIGHT: &str = "weight.";
const VELOCITY: &str = "velocity.";

/// Which layers learn a task (Caron et al., section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FineTunedLayers {
    /// The fully connected ones, drawn anew; the convolutions stay as they are.
    #[serde(rename = "fc6-8")]
    FullyConnected,
    /// All.
    #[serde(rename = "all")]
    All,
}

impl FineTunedLayers {
    /// The name papers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullyConnected => "fc6-8",
            Self::All => "all",
        }
    }
}

/// SGD of a task: the step size is multiplied by `decay_factor` every `decay_steps` steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSgd {
    /// Steps, at least 1.
    pub num_steps: usize,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// First step size, more than 0.
    pub learning_rate: f64,
    /// Steps after which the step size falls, at least 1.
    pub decay_steps: usize,
    /// Factor on the step size at each decay, in `(0, 1]`.
    pub decay_factor: f64,
    /// Momentum, in `[0, 1)`.
    pub momentum: f64,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
    /// Longer gradients, all weights together, are shortened to this length; none where `None`.
    pub max_gradient_norm: Option<f64>,
}

/// Most steps of a task.
pub(crate) const MAX_STEPS: usize = 10_000_000;

/// Most images of a step, as in training.
const MAX_BATCH_SIZE: usize = 1 << 20;

/// Most images of all steps together: their order is laid out before the first is read, in 16 bytes each.
const MAX_SAMPLES: usize = 1 << 28;

impl TaskSgd {
    /// Checks every field.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), TransferError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let norm = self.max_gradient_norm;
        check_settings([
            (
                "num_steps",
                self.num_steps.to_string(),
                (1..=MAX_STEPS).contains(&self.num_steps),
                "1 to 10000000",
            ),
            (
                "batch_size",
                self.batch_size.to_string(),
                (1..=MAX_BATCH_SIZE).contains(&self.batch_size),
                "1 to 1048576",
            ),
            ("learning_rate", self.learning_rate.to_string(), positive(self.learning_rate), "more than 0"),
            ("decay_steps", self.decay_steps.to_string(), self.decay_steps > 0, "at least 1"),
            (
                "decay_factor",
                self.decay_factor.to_string(),
                self.decay_factor > 0.0 && self.decay_factor <= 1.0,
                "more than 0, at most 1",
            ),
            ("momentum", self.momentum.to_string(), (0.0..1.0).contains(&self.momentum), "0 to below 1"),
            (
                "weight_decay",
                self.weight_decay.to_string(),
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
                "at least 0",
            ),
            ("max_gradient_norm", format!("{norm:?}"), norm.is_none_or(positive), "more than 0, or none"),
        ])
    }

    fn learning_rate_at(&self, step: usize) -> f64 {
        let num_falls = i32::try_from(step / self.decay_steps).unwrap_or(i32::MAX);
        self.learning_rate * self.decay_factor.powi(num_falls)
    }
}

/// The loss on the way: the mean of up to 50 steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Steps done by then.
    pub step: usize,
    /// Mean loss since the point before.
    pub loss: f64,
}

/// A network that learns a task, and the part of it that does not.
pub(crate) struct Trunk<N> {
    /// On a device with autodiff.
    pub(crate) network: N,
    /// Without autodiff, where the convolutions do not learn.
    pub(crate) frozen: Option<N>,
}

impl<N: DenseBackbone> Trunk<N> {
    /// `network` lies on a device without autodiff. With `train_norms` the scales and shifts of batch norm
    /// learn even where the convolutions do not.
    pub(crate) fn new(network: &N, layers: FineTunedLayers, train_norms: bool, seed: u64) -> Self {
        let learns = |name: &str| match layers {
            FineTunedLayers::All => train_norms || !name.contains(".norm."),
            FineTunedLayers::FullyConnected => {
                network.is_after_maps(name) || (train_norms && name.contains(".norm."))
            }
        };
        let learns = |name: &str| learns(name) && !name.contains("running_");
        let frozen = (layers == FineTunedLayers::FullyConnected && !train_norms).then(|| network.clone());
        let tuned = match layers {
            FineTunedLayers::All => network.clone(),
            FineTunedLayers::FullyConnected => {
                let device = network.devices().first().cloned().unwrap_or_default();
                network.clone().with_new_layers_after_maps(seed, 0.1, &device)
            }
        };
        Self { network: tuned.for_fine_tuning(learns), frozen }
    }
}

/// A network with a head of its own.
#[derive(Module, Debug)]
pub(crate) struct Classifier<N: Backbone> {
    pub(crate) network: N,
    pub(crate) head: Head,
}

impl<N: Backbone> Classifier<N> {
    /// Scores of the classes, `[batch, classes]`, from images.
    pub(crate) fn forward_images(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let features = self.network.features(images, pass);
        self.head.forward(self.network.head_input(features))
    }
}

impl<N: DenseBackbone> Classifier<N> {
    /// Scores of the classes, `[batch, classes]`, from pooled maps.
    pub(crate) fn forward(&self, pooled: Tensor<4>, dropout: &Pass) -> Tensor<2> {
        let features = self.network.features_of_pooled(pooled, dropout);
        self.head.forward(self.network.head_input(features))
    }
}

/// Maps of images on a device without autodiff, of the frozen convolutions where there are any, else of those
/// that learn. The result tracks gradients.
pub(crate) fn trunk_maps<N: DenseBackbone>(
    learning: &N,
    frozen: Option<&N>,
    images: Tensor<4>,
    forward: impl Fn(&N, Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    match frozen {
        Some(frozen) => Tensor::from_inner(forward(frozen, images)),
        None => forward(learning, Tensor::from_inner(images)),
    }
}

/// A file to go on from, and what tells whether its state belongs to this task.
pub(crate) struct TaskRecord<'a> {
    /// Where the state is kept, if it is.
    pub(crate) state: Option<&'a Path>,
    /// The settings; the number of steps may grow, and stands outside.
    pub(crate) settings: String,
    /// Sum of the network's first weights and of the names of the data.
    pub(crate) fingerprint: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TaskProgress {
    settings: String,
    fingerprint: u32,
    num_steps: usize,
    losses: Vec<LossPoint>,
    /// Sum and number of the losses since the last point.
    open: (f64, usize),
}

impl TaskProgress {
    fn close_point(&mut self) {
        let (sum, num_losses) = std::mem::take(&mut self.open);
        if num_losses > 0 {
            self.losses.push(LossPoint { step: self.num_steps, loss: sum / num_losses as f64 });
        }
    }
}

/// Sum of weights and names, for [`TaskRecord`].
pub(crate) fn fingerprint<'a>(weights: &NamedWeights, names: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (name, data) in weights {
        hasher.update(name.as_bytes());
        hasher.update(data.as_bytes());
    }
    names.for_each(|name| {
        hasher.update(name);
        hasher.update(b"\n");
    });
    hasher.finalize()
}

/// Takes `module` through the steps of `sgd`; `loss_of` gives the loss of a step, or `None` where it has no
/// data. With a `state` file in its record a task that was stopped goes on where it was, and ends as if it
/// had not been.
///
/// `loss_of` is asked for one step after the other, beginning with that which follows those done; what it
/// draws must depend on the step alone.
pub(crate) fn fine_tune<M: Module>(
    mut module: M,
    config: &TaskSgd,
    record: &TaskRecord<'_>,
    observer: &mut dyn Observer,
    mut loss_of: impl FnMut(&M, usize) -> Result<Option<Tensor<1>>, TransferError>,
) -> Result<(M, Vec<LossPoint>), TransferError> {
    let mut sgd = Sgd::new(config.learning_rate, config.momentum, config.weight_decay);
    let state = record.state;
    let mut progress = TaskProgress {
        settings: record.settings.clone(),
        fingerprint: record.fingerprint,
        num_steps: 0,
        losses: Vec::new(),
        open: (0.0, 0),
    };
    if let Some(path) = state
        && let Some(saved) = TaskState::<TaskProgress>::load(path)?
    {
        let other = |what| Err(TransferError::OtherTask { path: path.to_path_buf(), what });
        if saved.progress.fingerprint != record.fingerprint {
            return other("the network, or the data,");
        }
        if saved.progress.settings != record.settings {
            return other("a setting");
        }
        let (weights, velocities) = split(saved.arrays);
        check_velocities(&velocities, &weights)
            .map_err(|reason| TransferError::Damaged { path: path.to_path_buf(), reason })?;
        module = import_weights(module, weights)?;
        let device = module.devices().first().cloned().unwrap_or_default();
        sgd.import(velocities, &device.without_autodiff());
        progress = saved.progress;
    }
    let total = config.num_steps;
    observer.event(&Event::Started { phase: Phase::steps("fine-tuning"), epoch: None, total });
    let first = progress.num_steps;
    for step in first..config.num_steps {
        if observer.should_stop() {
            save(state, &progress, &module, &sgd)?;
            return Err(TransferError::Stopped);
        }
        let mut shown = None;
        if let Some(loss) = loss_of(&module, step)? {
            let value = loss.clone().try_into_scalar::<f32>();
            let value = value.map_err(|error| TransferError::device("while learning a task", error))?;
            sgd.learning_rate = config.learning_rate_at(step);
            if !value.is_finite() {
                return Err(TransferError::Diverged { step, learning_rate: sgd.learning_rate });
            }
            let mut gradients = GradientsParams::from_grads(loss.backward(), &module);
            if let Some(norm) = config.max_gradient_norm {
                gradients = shorten(&module, gradients, norm)?;
            }
            module = sgd.step(module, gradients);
            progress.open = (progress.open.0 + f64::from(value), progress.open.1 + 1);
            shown = Some(f64::from(value));
        }
        progress.num_steps = step + 1;
        let is_last = step + 1 == config.num_steps;
        if (step + 1).is_multiple_of(CURVE_STEPS) {
            progress.close_point();
        }
        observer.event(&Event::Progress { done: step + 1, loss: shown });
        if (step + 1).is_multiple_of(STATE_STEPS) && !is_last {
            save(state, &progress, &module, &sgd)?;
        }
    }
    if first < config.num_steps {
        save(state, &progress, &module, &sgd)?;
    }
    // After the state, in which a point that more steps may add to stays open.
    progress.close_point();
    Ok((module, progress.losses))
}

fn save<M: Module>(
    path: Option<&Path>,
    progress: &TaskProgress,
    module: &M,
    sgd: &Sgd,
) -> Result<(), TransferError> {
    let Some(path) = path else { return Ok(()) };
    let weights = export_weights(module)?.into_iter().map(|(name, data)| (format!("{WEIGHT}{name}"), data));
    let velocities = sgd.export()?.into_iter().map(|(name, data)| (format!("{VELOCITY}{name}"), data));
    TaskState { progress: progress.clone(), arrays: weights.chain(velocities).collect() }.save(path)
}

fn split(arrays: BTreeMap<String, TensorData>) -> (NamedWeights, BTreeMap<String, TensorData>) {
    let (mut weights, mut velocities) = (NamedWeights::new(), BTreeMap::new());
    for (name, data) in arrays {
        if let Some(name) = name.strip_prefix(WEIGHT) {
            weights.insert(name.to_string(), data);
        } else if let Some(name) = name.strip_prefix(VELOCITY) {
            velocities.insert(name.to_string(), data);
        }
    }
    (weights, velocities)
}

/// Every entry of `items` once in each pass, in an order of its own, cut into steps; for the steps from
/// `first` on. A step holds no more than all entries.
pub(crate) fn shuffled_steps(
    num_items: usize,
    config: &TaskSgd,
    seed: u64,
    first: usize,
) -> impl Iterator<Item = Vec<usize>> + use<> {
    let (batch_size, num_steps) = (config.batch_size.min(num_items), config.num_steps);
    let mut order: (usize, Vec<usize>) = (usize::MAX, Vec::new());
    let mut item = move |position: usize| {
        let pass = position / num_items;
        if order.0 != pass {
            let mut items: Vec<usize> = (0..num_items).collect();
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            generator.set_stream(pass as u64 + 1);
            items.shuffle(&mut generator);
            order = (pass, items);
        }
        order.1[position % num_items]
    };
    (first..num_steps).map(move |step| (step * batch_size..(step + 1) * batch_size).map(&mut item).collect())
}

/// The random crops of the steps of a task, read ahead in the background from the first step that is asked
/// for.
pub(crate) struct StepBatches<'a> {
    loader: Loader,
    crop: Transform,
    /// The images to draw from.
    images: Vec<usize>,
    sgd: &'a TaskSgd,
    seed: u64,
    batches: Option<Batches>,
}

impl<'a> StepBatches<'a> {
    pub(crate) fn new(
        loader: Loader,
        crop: Transform,
        images: Vec<usize>,
        sgd: &'a TaskSgd,
        seed: u64,
    ) -> Result<Self, TransferError> {
        crop.validate()?;
        sgd.validate()?;
        let batch_size = sgd.batch_size.min(images.len()).max(1);
        if sgd.num_steps > MAX_SAMPLES / batch_size {
            let allowed = format!("at most {} with {batch_size} images in each", MAX_SAMPLES / batch_size);
            let value = sgd.num_steps.to_string();
            return Err(TransferError::InvalidConfig { field: "num_steps", value, allowed });
        }
        Ok(Self { loader, crop, images, sgd, seed, batches: None })
    }

    /// The batch of a step, which follows the one asked for before.
    pub(crate) fn of_step(&mut self, step: usize) -> Option<ImageBatch> {
        if self.batches.is_none() {
            let steps = shuffled_steps(self.images.len(), self.sgd, self.seed, step);
            let samples = steps.enumerate().map(|(index, items)| {
                let mut generator = step_generator(self.seed, step + index);
                let sample = |item: usize| Sample {
                    image_index: self.images[item],
                    augmentation_seed: generator.random(),
                };
                items.into_iter().map(sample).collect()
            });
            self.batches = Some(self.loader.batches(self.crop, samples.collect()));
        }
        self.batches.as_mut()?.next()
    }
}

/// A generator for what is random in a step.
pub(crate) fn step_generator(seed: u64, step: usize) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed_57e9);
    generator.set_stream(step as u64);
    generator
}

/// Multiplies all gradients so that their common length is at most `most`.
fn shorten<M: Module>(
    module: &M,
    gradients: GradientsParams,
    most: f64,
) -> Result<GradientsParams, TransferError> {
    let mut squares = SumOfSquares { gradients: &gradients, sum: None };
    module.visit(&mut squares);
    let Some(sum) = squares.sum else { return Ok(gradients) };
    let sum = sum.try_into_scalar::<f32>();
    let length =
        f64::from(sum.map_err(|error| TransferError::device("while learning a task", error))?).sqrt();
    if length <= most {
        return Ok(gradients);
    }
    let mut scaled = Scaled { gradients, factor: most / length, result: GradientsParams::new() };
    module.visit(&mut scaled);
    Ok(scaled.result)
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squares = (gradient.clone() * gradient).sum();
            self.sum = Some(match self.sum.take() {
                None => squares,
                Some(sum) => sum + squares,
            });
        }
    }
}

struct Scaled {
    gradients: GradientsParams,
    factor: f64,
    result: GradientsParams,
}

impl ModuleVisitor for Scaled {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.result.register(param.id, gradient * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use burn::tensor::Device;

    use super::*;

    fn sgd(num_steps: usize) -> TaskSgd {
        TaskSgd {
            num_steps,
            batch_size: 2,
            learning_rate: 0.5,
            decay_steps: 2,
            decay_factor: 0.5,
            momentum: 0.5,
            weight_decay: 0.0,
            max_gradient_norm: None,
        }
    }

    #[test]
    fn steps_fall_and_passes_hold_every_item_once() {
        let config = sgd(6);
        let rates: Vec<f64> = (0..5).map(|step| config.learning_rate_at(step)).collect();
        assert_eq!(rates, [0.5, 0.5, 0.25, 0.25, 0.125]);
        let all: Vec<Vec<usize>> = shuffled_steps(3, &config, 1, 0).collect();
        assert_eq!(all.len(), 6);
        for pass in all.concat().chunks(3) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, [0, 1, 2]);
        }
        let rest: Vec<Vec<usize>> = shuffled_steps(3, &config, 1, 4).collect();
        assert_eq!(rest, all[4..]);
    }

    #[test]
    fn a_step_holds_all_entries_at_most_however_many_are_asked_for() {
        let config = TaskSgd { batch_size: usize::MAX, ..sgd(2) };
        for mut step in shuffled_steps(3, &config, 1, 0) {
            step.sort_unstable();
            assert_eq!(step, [0, 1, 2]);
        }
        let refused = |config: TaskSgd| config.validate().unwrap_err().to_string();
        assert!(refused(config).contains("batch_size = 18446744073709551615 is not allowed: 1 to 1048576"));
        assert!(refused(sgd(usize::MAX)).contains("1 to 10000000"));
    }

    fn learn(num_steps: usize, norm: Option<f64>, state: Option<&Path>) -> Result<f32, TransferError> {
        let device = Device::flex().autodiff();
        let head = Head::new(1, 1, 3, &device);
        let record = TaskRecord { state, settings: format!("{norm:?}"), fingerprint: 5 };
        let config = TaskSgd { max_gradient_norm: norm, ..sgd(num_steps) };
        let input = Tensor::<2>::ones([1, 1], &device);
        let (head, losses) = fine_tune(head, &config, &record, &mut (), {
            |head: &Head, step| {
                Ok((step != 1).then(|| (head.forward(input.clone()) - 3.0).powi_scalar(2).sum()))
            }
        })?;
        assert_eq!(losses.last().unwrap().step, num_steps);
        Ok(head.forward(input).into_scalar())
    }

    #[test]
    fn a_stopped_task_ends_as_if_it_had_not_been() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.safetensors");
        learn(3, None, Some(&state)).unwrap();
        let resumed = learn(9, None, Some(&state)).unwrap();
        assert_eq!(resumed, learn(9, None, None).unwrap());
        assert!((resumed - 3.0).abs() < 2.9, "{resumed}");
        assert_eq!(resumed, learn(9, None, Some(&state)).unwrap());
        let error = learn(9, Some(1.0), Some(&state)).unwrap_err().to_string();
        assert!(error.contains("a setting differs"), "{error}");
    }

    #[test]
    fn long_gradients_are_shortened_to_their_bound() {
        // Weight and bias both get the gradient 2 (0 - 3) = -6 in the first step; their common length is 8.5.
        // Shortened to 1, each moves by 0.5 / sqrt(2), and the output by twice that.
        let moved = learn(1, Some(1.0), None).unwrap() - {
            let device = Device::flex().autodiff();
            Head::new(1, 1, 3, &device).forward(Tensor::ones([1, 1], &device)).into_scalar::<f32>()
        };
        assert!((f64::from(moved) - 0.5 * std::f64::consts::SQRT_2).abs() < 1e-3, "{moved}");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |config: TaskSgd| config.validate().unwrap_err().to_string();
        assert!(refused(sgd(0)).starts_with("num_steps = 0"));
        assert!(refused(TaskSgd { decay_factor: 1.5, ..sgd(1) }).starts_with("decay_factor = 1.5"));
        assert!(refused(TaskSgd { max_gradient_norm: Some(0.0), ..sgd(1) }).contains("max_gradient_norm"));
        sgd(1).validate().unwrap();
    }
}
