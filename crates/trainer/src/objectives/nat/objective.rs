//! The objective: targets are exchanged within batches every few epochs, and features descend towards theirs.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use deepcluster_clustering::Rows;
use deepcluster_data::Transform;
use deepcluster_engine::{
    Batch, EngineError, Epoch, EpochClusters, Learner, Losses, Objective, ParamGroup, Place, Plan, SeedUse,
    Sgd, StateReader, StateWriter, Step, derive_seed, host_values,
};
use deepcluster_models::{Backbone, export_weights, import_weights};
use ndarray::ArrayView2;

use crate::error::TrainerError;
use crate::objectives::RunObjective;
use crate::objectives::config::ObjectiveConfig;
use crate::objectives::nat::config::NatConfig;
use crate::objectives::nat::matching::best_matching;
use crate::objectives::nat::model::{NatModel, projection};
use crate::objectives::nat::targets::{first_assignment, targets};
use crate::run::begin::other_objective;
use crate::settings::config::TrainConfig;

const PROJECTION: &str = "projection";
const TARGETS: &str = "targets";
const TARGETS_BEFORE: &str = "targets-before";

/// Noise as targets: network and projection learn to map each image to its point on the sphere.
///
/// The loss is the squared distance, `2 - 2 cos`, averaged over a batch. On several devices targets are
/// exchanged within the part of a batch that a device has.
#[derive(Debug)]
pub struct Nat<B> {
    config: NatConfig,
    run_seed: u64,
    batch_size: usize,
    view: Transform,
    assigned: Mutex<Assigned>,
    backbone: PhantomData<fn() -> B>,
}

/// The number of each image's target: a permutation, since images only exchange them.
#[derive(Debug, Default)]
struct Assigned {
    now: Vec<u32>,
    /// Those at the beginning of the epoch.
    before: Vec<u32>,
}

impl<B> Nat<B> {
    fn assigned(&self) -> MutexGuard<'_, Assigned> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchanges_in(&self, epoch: usize) -> bool {
        epoch.is_multiple_of(self.config.exchange_every)
    }

    /// Seed of the targets (0), of their first assignment (1), of the projection (2).
    fn seed(&self, index: usize) -> u64 {
        derive_seed(self.run_seed, SeedUse::Targets, 0, index)
    }

    /// Images of a step: as many as a folder has, if it has fewer than a batch.
    fn batch_size(&self, num_images: usize) -> usize {
        self.batch_size.min(num_images).max(1)
    }

    /// Exchanges the targets of a batch so that they are as near to its points, `[batch, target_dim]`, as
    /// they can be together. Points that are NaN keep their targets: their loss ends the run.
    fn exchange(&self, points: &[f32], image_indices: &[usize]) {
        let dim = self.config.target_dim;
        let numbers = self.numbers(image_indices);
        let targets = targets(self.seed(0), &numbers, dim);
        let shape = (image_indices.len(), dim);
        let (Ok(points), Ok(targets)) =
            (ArrayView2::from_shape(shape, points), ArrayView2::from_shape(shape, &targets))
        else {
            return;
        };
        let Some(columns) = best_matching(points.dot(&targets.t()).view()) else { return };
        let mut assigned = self.assigned();
        for (&image, column) in image_indices.iter().zip(columns) {
            assigned.now[image] = numbers[column];
        }
    }

    fn numbers(&self, image_indices: &[usize]) -> Vec<u32> {
        let assigned = self.assigned();
        image_indices.iter().map(|&image| assigned.now[image]).collect()
    }
}

impl<B: Backbone> RunObjective for Nat<B> {
    fn create(config: &TrainConfig, network: B) -> Result<(Self, Learner<NatModel<B>>), TrainerError> {
        let ObjectiveConfig::Nat(settings) = &config.objective else {
            return Err(other_objective::<Self>(config));
        };
        let objective = Self {
            config: settings.clone(),
            run_seed: config.seed,
            batch_size: config.training.batch_size,
            view: config.images.training_transform(),
            assigned: Mutex::default(),
            backbone: PhantomData,
        };
        let device = network.devices().into_iter().next().ok_or_else(TrainerError::no_device)?;
        let model = NatModel::new(network, settings.target_dim, objective.seed(2), &device);
        let group = |name| ParamGroup::new(name, Sgd::new(settings.learning_rate, 0.0, 0.0));
        Ok((objective, Learner::new(model, vec![group("network"), group(PROJECTION)])))
    }

    fn warnings_before_training(&self, num_images: usize) -> Vec<String> {
        let batch_size = self.batch_size;
        let mut warnings = Vec::new();
        if num_images < batch_size {
            warnings.push(format!(
                "{num_images} images are fewer than a batch of {batch_size}: each batch holds all of them"
            ));
        }
        warnings
    }
}

impl<B: Backbone> Objective for Nat<B> {
    type Backbone = B;
    type Model = NatModel<B>;

    const NAME: &'static str = "nat";

    fn backbone(model: &NatModel<B>) -> &B {
        &model.network
    }

    fn with_backbone(model: NatModel<B>, network: B) -> NatModel<B> {
        NatModel { network, ..model }
    }

    fn view(&self) -> Transform {
        self.view
    }

    fn needs_features(&self, _epoch: usize) -> bool {
        false
    }

    fn begin_epoch(
        &mut self,
        _learner: &mut Learner<NatModel<B>>,
        _features: Option<Box<dyn Rows>>,
        epoch: &mut Epoch<'_>,
    ) -> Result<Option<EpochClusters>, EngineError> {
        let seed = self.seed(1);
        let mut assigned = self.assigned();
        if assigned.now.is_empty() {
            assigned.now = first_assignment(seed, epoch.place.num_images);
        }
        assigned.before = assigned.now.clone();
        Ok(None)
    }

    /// Every image once, in whole batches.
    fn plan(&self, place: Place) -> Plan {
        let batch_size = self.batch_size(place.num_images);
        let mut images = first_assignment(place.seed(SeedUse::Sampling, 0), place.num_images);
        images.truncate(place.num_images / batch_size * batch_size);
        Plan::new(&images, batch_size, place)
    }

    /// On the mean over a batch, the rate is that of the sum times the size of the batch.
    fn schedule(&self, groups: &mut [ParamGroup], place: Place) {
        let rate = self.config.learning_rate * self.batch_size(place.num_images) as f64;
        groups.iter_mut().for_each(|group| group.optimizer.learning_rate = rate);
    }

    fn losses(&self, model: &NatModel<B>, batch: &Batch<'_>, step: &Step) -> Result<Losses, EngineError> {
        let points = model.forward(batch.images.clone(), &step.pass()); // [batch, target_dim]
        if self.exchanges_in(step.place.epoch) {
            let values = host_values(points.clone().without_autodiff(), "while targets were exchanged")?;
            self.exchange(&values, batch.image_indices);
        }
        let dim = self.config.target_dim;
        let targets = targets(self.seed(0), &self.numbers(batch.image_indices), dim);
        let targets = TensorData::new(targets, [batch.image_indices.len(), dim]);
        let targets = Tensor::<2>::from_data(targets, &batch.images.device());
        Ok(Losses::joint((points - targets).powf_scalar(2.0).sum_dim(1).mean()))
    }

    /// `exchanged`: the part of the images whose target is another than at the beginning of the epoch.
    fn measures(&mut self) -> BTreeMap<String, f64> {
        let assigned = self.assigned();
        let changed = assigned.now.iter().zip(&assigned.before).filter(|(now, before)| now != before);
        let share = changed.count() as f64 / assigned.now.len().max(1) as f64;
        BTreeMap::from([("exchanged".to_string(), share)])
    }

    fn save(&self, model: &NatModel<B>, state: &mut dyn StateWriter) -> Result<(), EngineError> {
        state.weights(PROJECTION, &export_weights(&model.projection)?)?;
        let assigned = self.assigned();
        for (name, numbers) in [(TARGETS, &assigned.now), (TARGETS_BEFORE, &assigned.before)] {
            state.integers(name, numbers, numbers.len())?;
        }
        Ok(())
    }

    fn load(
        &mut self,
        model: NatModel<B>,
        state: &mut dyn StateReader,
        place: Place,
    ) -> Result<NatModel<B>, String> {
        let mut permutation = |name: &str| {
            let (numbers, _) = state.integers(name).unwrap_or_default();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let is_permutation = sorted.into_iter().eq(0..place.num_images as u32);
            if is_permutation || (numbers.is_empty() && place.step == 0) {
                Ok(numbers)
            } else {
                Err(format!("the {name} are not a permutation of those of {} images", place.num_images))
            }
        };
        let assigned = Assigned { now: permutation(TARGETS)?, before: permutation(TARGETS_BEFORE)? };
        let projection = match state.weights(PROJECTION) {
            Some(weights) => {
                let device = model.devices().into_iter().next().ok_or("the network has no weights")?;
                let dim = self.config.target_dim;
                let empty = projection(model.network.feature_dim(), dim, 0, &device);
                import_weights(empty, weights).map_err(|error| error.to_string())?
            }
            None if place.step == 0 => model.projection,
            None => return Err("the projection is missing".to_string()),
        };
        self.assigned = Mutex::new(assigned);
        Ok(NatModel { projection, ..model })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::tensor::{Device, TensorData};
    use deepcluster_models::{ConvNet, NamedWeights};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    use super::*;

    const NUM_IMAGES: usize = 64;

    fn config() -> TrainConfig {
        let mut config = TrainConfig::default();
        config.images.size = 32;
        config.network.width = 0.125;
        config.training.batch_size = 16;
        let nat = NatConfig { target_dim: 128, exchange_every: 2, ..NatConfig::default() };
        config.objective = ObjectiveConfig::Nat(nat);
        config
    }

    fn begun(config: &TrainConfig) -> (Nat<ConvNet>, Learner<NatModel<ConvNet>>) {
        let device = Device::flex().autodiff();
        let network = config.network().unwrap().init(1, &device).unwrap();
        let (mut nat, mut learner) = Nat::create(config, network).unwrap();
        let mut epoch = Epoch { place: place(0, 0), num_epochs: 3, device: &device, observer: &mut () };
        assert!(nat.begin_epoch(&mut learner, None, &mut epoch).unwrap().is_none());
        (nat, learner)
    }

    fn place(epoch: usize, step: usize) -> Place {
        Place { run_seed: 31, epoch, step, num_images: NUM_IMAGES }
    }

    fn images(num_images: usize) -> Tensor<4> {
        // From a generator of its own: that of the device is shared with the tests beside this one.
        let values = ChaCha8Rng::seed_from_u64(1).sample_iter::<f32, _>(StandardNormal);
        let values: Vec<f32> = values.take(num_images * 3 * 32 * 32).collect();
        Tensor::from_data(TensorData::new(values, [num_images, 3, 32, 32]), &Device::flex().autodiff())
    }

    fn loss(nat: &Nat<ConvNet>, model: &NatModel<ConvNet>, image_indices: &[usize], epoch: usize) -> f64 {
        let batch = Batch { images: images(image_indices.len()), image_indices };
        let step = Step { place: place(epoch, 0), part: 0 };
        let losses = nat.losses(model, &batch, &step).unwrap();
        let device = Device::flex().autodiff();
        let mut blank = Learner::new(NatModel::new(model.network.clone(), 2, 0, &device), Vec::new());
        blank.step(losses, &deepcluster_engine::Ranks::single()).unwrap().read().unwrap()
    }

    fn is_permutation(numbers: &[u32]) -> bool {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..numbers.len() as u32)
    }

    #[test]
    fn without_an_exchange_random_targets_have_a_loss_of_two() {
        let (nat, learner) = begun(&config());
        let all: Vec<usize> = (0..NUM_IMAGES).collect();
        let loss = loss(&nat, &learner.model, &all, 1);
        // A mean of 2 - 2 cos over the images; the cosine of random directions has a variance of 1/128.
        let deviation = 2.0 / ((128 * NUM_IMAGES) as f64).sqrt();
        assert!((loss - 2.0).abs() < 4.0 * deviation, "{loss}");
        let assigned = nat.assigned();
        assert_eq!(assigned.now, assigned.before);
    }

    #[test]
    fn images_of_a_batch_exchange_their_targets_and_come_nearer() {
        let (mut nat, learner) = begun(&config());
        let part: Vec<usize> = (8..24).collect();
        let before = loss(&nat, &learner.model, &part, 1);
        let after = loss(&nat, &learner.model, &part, 0);
        assert!(after < before, "{after} {before}");
        {
            let Assigned { now, before } = &*nat.assigned();
            assert!(is_permutation(now) && now != before);
            let outside = |image: &usize| !part.contains(image);
            assert!((0..NUM_IMAGES).filter(outside).all(|image| now[image] == before[image]));
        }
        let measures = nat.measures();
        assert!(measures["exchanged"] > 0.0 && measures["exchanged"] <= 16.0 / 64.0, "{measures:?}");
    }

    #[test]
    fn every_image_is_seen_once_in_whole_batches() {
        let (nat, _) = begun(&config());
        let place = Place { num_images: 70, ..place(0, 0) };
        let plan = nat.plan(place);
        assert_eq!(plan.steps.iter().map(Vec::len).collect::<Vec<_>>(), [16; 4]);
        let mut seen: Vec<usize> = plan.steps.iter().flatten().map(|sample| sample.image_index).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 64);
        // Fewer images than a batch are one.
        assert_eq!(nat.plan(Place { num_images: 9, ..place }).steps[0].len(), 9);
    }

    #[test]
    fn the_rate_is_that_of_the_sum_over_a_batch() {
        let (nat, mut learner) = begun(&config());
        nat.schedule(learner.groups_mut(), place(0, 0));
        assert!(learner.groups().iter().all(|group| group.optimizer.learning_rate == 0.01 * 16.0));
    }

    #[derive(Default)]
    struct State(BTreeMap<String, NamedWeights>, BTreeMap<String, (Vec<u32>, usize)>);

    impl StateWriter for State {
        fn weights(&mut self, name: &str, weights: &NamedWeights) -> Result<(), EngineError> {
            self.0.insert(name.to_string(), weights.clone());
            Ok(())
        }

        fn integers(&mut self, name: &str, values: &[u32], bound: usize) -> Result<(), EngineError> {
            self.1.insert(name.to_string(), (values.to_vec(), bound));
            Ok(())
        }
    }

    impl StateReader for State {
        fn weights(&mut self, name: &str) -> Option<NamedWeights> {
            self.0.remove(name)
        }

        fn integers(&mut self, name: &str) -> Option<(Vec<u32>, usize)> {
            self.1.remove(name)
        }
    }

    #[test]
    fn a_state_is_restored_and_one_that_is_no_permutation_refused() {
        let (nat, learner) = begun(&config());
        loss(&nat, &learner.model, &(0..16).collect::<Vec<_>>(), 0);
        let saved = || {
            let mut state = State::default();
            nat.save(&learner.model, &mut state).unwrap();
            state
        };
        let (mut other, fresh) = begun(&TrainConfig { seed: 7, ..config() });
        let model = other.load(fresh.model.clone(), &mut saved(), place(0, 3)).unwrap();
        assert_eq!(other.assigned().now, nat.assigned().now);
        assert_eq!(
            export_weights(&model.projection).unwrap(),
            export_weights(&learner.model.projection).unwrap()
        );
        type Change = fn(&mut State);
        let changes: [(&str, Change); 4] = [
            ("not a permutation", |state| {
                let numbers = &mut state.1.get_mut(TARGETS).unwrap().0;
                numbers[3] = numbers[4];
            }),
            ("not a permutation", |state| state.1.get_mut(TARGETS_BEFORE).unwrap().0.truncate(5)),
            ("not a permutation", |state| state.1.retain(|name, _| name != TARGETS)),
            ("projection is missing", |state| state.0.clear()),
        ];
        for (words, change) in changes {
            let mut state = saved();
            change(&mut state);
            let error = other.load(fresh.model.clone(), &mut state, place(0, 3)).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert_eq!(other.assigned().now, nat.assigned().now);
        }
    }
}
