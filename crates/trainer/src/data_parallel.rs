//! Training on several devices: each has a copy of the network and a part of every batch, and all take the same step.
//!
//! Batch normalisation sees the part of its device, and the running statistics are those of the first, as in PyTorch's
//! `DataParallel`, which the original code uses.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use deepcluster_data::ImageBatch;
use deepcluster_models::{Backbone, DropoutMasks, Head};

use crate::error::TrainerError;
use crate::gradient_exchange::{GradientExchange, exchange_between};
use crate::sgd::Sgd;
use crate::tensors::images_tensor;
use crate::training_step::loss_of;

/// A part of a batch, for one device.
pub(crate) struct Shard {
    pub(crate) batch: ImageBatch,
    /// Clusters of its images.
    pub(crate) targets: Vec<i64>,
    /// Its part of the images of the whole batch.
    pub(crate) weight: f64,
    pub(crate) dropout_seed: u64,
}

/// What a device trains: a copy of the network, the head, and the state of their SGD.
pub(crate) struct Replica<B> {
    pub(crate) network: B,
    pub(crate) head: Head,
    pub(crate) network_sgd: Sgd,
    pub(crate) head_sgd: Sgd,
}

impl<B: Backbone> Replica<B> {
    /// A copy on another device.
    pub(crate) fn copy_of(
        network: &B,
        head: &Head,
        [network_sgd, head_sgd]: [&Sgd; 2],
        device: &Device,
    ) -> Result<Self, TrainerError> {
        let plain = device.clone().without_autodiff();
        let copy_sgd = |sgd: &Sgd| -> Result<Sgd, TrainerError> {
            let mut copy = Sgd::new(sgd.learning_rate, sgd.momentum, sgd.weight_decay);
            copy.import(sgd.export()?, &plain);
            Ok(copy)
        };
        Ok(Self {
            network: network.valid().to_device(&plain).train(),
            head: head.valid().to_device(&plain).train(),
            network_sgd: copy_sgd(network_sgd)?,
            head_sgd: copy_sgd(head_sgd)?,
        })
    }
}

/// The devices beside the first, each with a thread of its own that waits for its parts of the batches.
pub(crate) struct Workers<'scope> {
    exchange: Arc<dyn GradientExchange>,
    shards: Vec<Sender<Shard>>,
    threads: Vec<ScopedJoinHandle<'scope, Result<(), TrainerError>>>,
}

impl<'scope> Workers<'scope> {
    /// Starts a thread for each of `replicas`, whose ranks are 1, 2, ...; `devices` are those of all ranks.
    pub(crate) fn start<'env, B: Backbone + 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        devices: &[Device],
        replicas: Vec<Replica<B>>,
    ) -> Self {
        let exchange = exchange_between(devices);
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for (replica, (rank, device)) in replicas.into_iter().zip(devices.iter().cloned().enumerate().skip(1))
        {
            let (sender, receiver) = channel();
            let exchange = exchange.clone();
            shards.push(sender);
            threads.push(scope.spawn(move || work(replica, &receiver, &device, rank, exchange.as_ref())));
        }
        Self { exchange, shards, threads }
    }

    /// One step of all devices; the first works on this thread. `shards` has one part for each device. Gives the loss of the
    /// whole batch, `[1]`, on the first device.
    pub(crate) fn step<B: Backbone>(
        &self,
        first: ReplicaMut<'_, B>,
        shards: Vec<Shard>,
        device: &Device,
    ) -> Result<Tensor<1>, TrainerError> {
        let mut shards = shards.into_iter();
        let own = shards.next().expect("the first device has a part");
        for (sender, shard) in self.shards.iter().zip(shards) {
            // A thread that is gone has left the exchange: the step below says so.
            let _ = sender.send(shard);
        }
        let outcome = step(first, &own, device, 0, self.exchange.as_ref());
        if outcome.is_err() {
            self.exchange.leave();
        }
        outcome
    }

    /// Ends the threads; gives the first error of one, which explains those of the others.
    pub(crate) fn finish(self) -> Result<(), TrainerError> {
        drop(self.shards);
        let mut outcome = Ok(());
        for thread in self.threads {
            let of_thread = thread.join().unwrap_or_else(|_| {
                Err(TrainerError::device("in a training step", "a thread of a device ended with a panic"))
            });
            if outcome.is_ok() {
                outcome = of_thread;
            }
        }
        outcome
    }
}

/// What a step of a device changes.
pub(crate) struct ReplicaMut<'a, B> {
    pub(crate) network: &'a mut B,
    pub(crate) head: &'a mut Head,
    pub(crate) network_sgd: &'a mut Sgd,
    pub(crate) head_sgd: &'a mut Sgd,
}

fn work<B: Backbone>(
    mut replica: Replica<B>,
    shards: &Receiver<Shard>,
    device: &Device,
    rank: usize,
    exchange: &dyn GradientExchange,
) -> Result<(), TrainerError> {
    /// Also where the thread panics, the others must not wait for it.
    struct Leave<'a>(&'a dyn GradientExchange, bool);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            if !self.1 {
                self.0.leave();
            }
        }
    }
    let mut guard = Leave(exchange, false);
    for shard in shards {
        let Replica { network, head, network_sgd, head_sgd } = &mut replica;
        step(ReplicaMut { network, head, network_sgd, head_sgd }, &shard, device, rank, exchange)?;
    }
    guard.1 = true;
    Ok(())
}

/// The step of one device.
fn step<B: Backbone>(
    replica: ReplicaMut<'_, B>,
    shard: &Shard,
    device: &Device,
    rank: usize,
    exchange: &dyn GradientExchange,
) -> Result<Tensor<1>, TrainerError> {
    let ReplicaMut { network, head, network_sgd, head_sgd } = replica;
    let plain = device.clone().without_autodiff();
    let tracking = plain.clone().autodiff();
    let (mut gradients, loss) = if shard.targets.is_empty() {
        (None, Tensor::zeros([1], &plain))
    } else {
        let targets = TensorData::new(shard.targets.clone(), [shard.targets.len()]);
        let targets = Tensor::<1, Int>::from_data(targets, &tracking);
        let images = images_tensor(&shard.batch, &tracking);
        let dropout = DropoutMasks::from_seed(shard.dropout_seed);
        let loss = loss_of(network, head, images, targets, &dropout) * shard.weight;
        (Some(loss.backward()), loss.without_autodiff())
    };
    let mut flat = Flatten { gradients: gradients.as_mut(), device: &plain, parts: vec![loss] };
    network.visit(&mut flat);
    head.visit(&mut flat);
    let summed = exchange.sum(rank, Tensor::cat(flat.parts, 0))?;
    let loss = summed.clone().narrow(0, 0, 1);
    let mut unflatten = Unflatten { summed, next: 1, gradients: GradientsParams::new() };
    network.visit(&mut unflatten);
    let of_network = std::mem::replace(&mut unflatten.gradients, GradientsParams::new());
    head.visit(&mut unflatten);
    network_sgd.step_in_place(network, of_network);
    head_sgd.step_in_place(head, unflatten.gradients);
    Ok(loss)
}

/// Collects the gradients of all weights that learn, in their order; zeros where there are none.
struct Flatten<'a> {
    gradients: Option<&'a mut Gradients>,
    device: &'a Device,
    parts: Vec<Tensor<1>>,
}

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weights = param.val();
        if !weights.is_require_grad() {
            return;
        }
        let num_values = weights.shape().num_elements();
        let gradient = self.gradients.as_mut().and_then(|gradients| weights.grad_remove(gradients));
        self.parts.push(match gradient {
            Some(gradient) => gradient.reshape([num_values]),
            None => Tensor::zeros([num_values], self.device),
        });
    }
}

/// Gives each weight that learns its part of the sums.
struct Unflatten {
    summed: Tensor<1>,
    next: usize,
    gradients: GradientsParams,
}

impl ModuleVisitor for Unflatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weights = param.val();
        if !weights.is_require_grad() {
            return;
        }
        let shape = weights.shape();
        let num_values = shape.num_elements();
        let part: Tensor<D> = self.summed.clone().narrow(0, self.next, num_values).reshape(shape);
        self.next += num_values;
        self.gradients.register(param.id, part);
    }
}

/// How many of `num_images` each of `num_devices` takes: nearly equal parts, the first the larger.
pub(crate) fn shard_sizes(num_images: usize, num_devices: usize) -> Vec<usize> {
    (0..num_devices)
        .map(|device| num_images / num_devices + usize::from(device < num_images % num_devices))
        .collect()
}

#[cfg(test)]
mod tests {
    use deepcluster_data::write_synthetic_folder;
    use deepcluster_data::{
        ImageFolder, Loader, LoaderConfig, Normalization, Sample, SyntheticConfig, Transform,
    };
    use deepcluster_models::{Architecture, ConvNet, ConvNetConfig, NamedWeights, export_weights};

    use super::*;
    use crate::training_step::queue_training_step;

    const NUM_CLUSTERS: usize = 3;

    fn sgd() -> [Sgd; 2] {
        [Sgd::new(0.1, 0.9, 1e-4), Sgd::new(0.1, 0.0, 1e-4)]
    }

    fn network(device: &Device) -> (ConvNet, Head) {
        let mut config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
        config.dropout = 0.0;
        let network = config.init(3, &device.clone().autodiff()).unwrap();
        let head = Head::new(
            deepcluster_models::Backbone::feature_dim(&network),
            NUM_CLUSTERS,
            5,
            &device.clone().autodiff(),
        );
        (network, head)
    }

    /// Eight images, the last four the same as the first: each half has the statistics of the whole.
    fn batch() -> (ImageBatch, Vec<i64>) {
        let root = tempfile::tempdir().unwrap();
        let drawings = SyntheticConfig { num_images: 4, image_size: 32, seed: 1 };
        write_synthetic_folder(root.path(), &drawings, &mut |_| {}).unwrap();
        let images = Arc::new(ImageFolder::open(root.path()).unwrap());
        let transform = Transform::Center { resize: 32, size: 32, normalization: Normalization::default() };
        let sample = |index: usize| Sample { image_index: index % 4, augmentation_seed: 0 };
        let loader = Loader::new(images, LoaderConfig::default()).unwrap();
        let batch = loader.batches(transform, vec![(0..8).map(sample).collect()]).next().unwrap();
        (batch, vec![0, 1, 2, 0, 0, 1, 2, 0])
    }

    /// Weights after three steps on one device.
    fn on_one_device() -> (Vec<f32>, NamedWeights) {
        let device = Device::flex();
        let ((mut network, mut head), (batch, targets)) = (network(&device), batch());
        let [mut network_sgd, mut head_sgd] = sgd();
        let tracking = device.autodiff();
        let losses = (0..3).map(|_| {
            let targets = TensorData::new(targets.clone(), [targets.len()]);
            let targets = Tensor::<1, Int>::from_data(targets, &tracking);
            let images = images_tensor(&batch, &tracking);
            let dropout = DropoutMasks::from_seed(0);
            let loss = queue_training_step(
                &mut network,
                &mut head,
                images,
                targets,
                &dropout,
                &mut network_sgd,
                &mut head_sgd,
            );
            loss.into_data().try_to_vec::<f32>().unwrap()[0]
        });
        (losses.collect(), export_weights(&network).unwrap())
    }

    fn on_devices(num_devices: usize, sizes: &[usize]) -> (Vec<f32>, NamedWeights) {
        let devices = vec![Device::flex(); num_devices];
        let (mut network, mut head) = network(&devices[0]);
        let [mut network_sgd, mut head_sgd] = sgd();
        let replica = || Replica::copy_of(&network, &head, [&network_sgd, &head_sgd], &devices[0]).unwrap();
        let replicas = (1..num_devices).map(|_| replica()).collect();
        let mut losses = Vec::new();
        std::thread::scope(|scope| {
            let workers = Workers::start(scope, &devices, replicas);
            for _ in 0..3 {
                let (mut batch, mut targets) = batch();
                let mut shards = Vec::new();
                for &size in sizes {
                    let rest = (batch.split_off(size), targets.split_off(size));
                    let part =
                        (std::mem::replace(&mut batch, rest.0), std::mem::replace(&mut targets, rest.1));
                    let weight = size as f64 / 8.0;
                    shards.push(Shard { batch: part.0, targets: part.1, weight, dropout_seed: 0 });
                }
                let first = ReplicaMut {
                    network: &mut network,
                    head: &mut head,
                    network_sgd: &mut network_sgd,
                    head_sgd: &mut head_sgd,
                };
                let loss = workers.step(first, shards, &devices[0]).unwrap();
                losses.push(loss.into_data().try_to_vec::<f32>().unwrap()[0]);
            }
            workers.finish().unwrap();
        });
        (losses, export_weights(&network).unwrap())
    }

    #[test]
    fn devices_together_take_the_steps_of_one() {
        let (losses, weights) = on_one_device();
        assert!(losses[2] < losses[0], "{losses:?}");
        for (num_devices, sizes) in [(2, vec![4, 4]), (3, vec![4, 4, 0]), (1, vec![8])] {
            let (parallel_losses, parallel) = on_devices(num_devices, &sizes);
            for (a, b) in losses.iter().zip(&parallel_losses) {
                assert!((a - b).abs() < 1e-4, "{losses:?} {parallel_losses:?}");
            }
            for (name, weights) in weights.iter().filter(|(name, _)| !name.contains("running")) {
                let [one, together] =
                    [weights, &parallel[name]].map(|data| data.clone().try_into_vec::<f32>().unwrap());
                let largest = one.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                for (one, together) in one.iter().zip(&together) {
                    assert!(
                        (one - together).abs() <= 1e-3 * largest + 1e-7,
                        "{name} on {num_devices} devices: {one} {together}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_device_that_fails_ends_the_step_of_the_others() {
        let devices = vec![Device::flex(); 2];
        let (mut network, mut head) = network(&devices[0]);
        let [mut network_sgd, mut head_sgd] = sgd();
        let replica = Replica::copy_of(&network, &head, [&network_sgd, &head_sgd], &devices[0]).unwrap();
        std::thread::scope(|scope| {
            let workers = Workers::start(scope, &devices, vec![replica]);
            let (mut batch, targets) = batch();
            let rest = batch.split_off(4);
            // A cluster that the head does not have.
            let shards = vec![
                Shard { batch, targets: targets[..4].to_vec(), weight: 0.5, dropout_seed: 0 },
                Shard { batch: rest, targets: vec![99; 4], weight: 0.5, dropout_seed: 0 },
            ];
            let first = ReplicaMut {
                network: &mut network,
                head: &mut head,
                network_sgd: &mut network_sgd,
                head_sgd: &mut head_sgd,
            };
            assert!(workers.step(first, shards, &devices[0]).is_err());
            assert!(workers.finish().unwrap_err().to_string().contains("panic"));
        });
    }

    #[test]
    fn a_batch_is_cut_in_nearly_equal_parts() {
        assert_eq!(shard_sizes(10, 3), [4, 3, 3]);
        assert_eq!(shard_sizes(1, 3), [1, 0, 0]);
        assert_eq!(shard_sizes(8, 1), [8]);
    }
}
