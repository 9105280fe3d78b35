//! The objective: targets are exchanged within batches every few epochs, and features descend towards theirs.

use burn::module::Module;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
use crate::objectives::nat::matching::best_matching;
use crate::objectives::nat::model::{NatModel, projection};
use crate::objectives::nat::targets::{first_assignment, targets};
use crate::settings::config::TrainConfig;

const PROJECTION: &str = "projection";
const TARGETS: &str = "targets";
const TARGETS_BEFORE: &str = "targets-before";

/// Noise as targets: network and projection learn to map each image to its point on the sphere.
///
/// The loss is the squared distance, `2 - 2 cos`, averaged over a batch. On several devices targets are exchanged within
/// the part of a batch that a device has.
#[derive(Debug)]
pub struct Nat<B> {
    config: TrainConfig,
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
        epoch.is_multiple_of(self.config.nat.exchange_every)
    }

    /// Seed of the targets (0), of their first assignment (1), of the projection (2).
    fn seed(&self, index: usize) -> u64 {
        derive_seed(self.config.seed, SeedUse::Targets, 0, index)
    }

    /// Images of a step: as many as a folder has, if it has fewer than a batch.
    fn batch_size(&self, num_images: usize) -> usize {
        self.config.training.batch_size.min(num_images).max(1)
    }

    /// Exchanges the targets of a batch so that they are as near to its points, `[batch, target_dim]`, as they can be
    /// together. Points that are no numbers keep their targets: their loss ends the run.
    fn exchange(&self, points: &[f32], image_indices: &[usize]) {
        let dim = self.config.nat.target_dim;
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
        let objective = Self { config: config.clone(), assigned: Mutex::default(), backbone: PhantomData };
        let device = network.devices().into_iter().next().ok_or_else(TrainerError::no_device)?;
        let model = NatModel::new(network, config.nat.target_dim, objective.seed(2), &device);
        let group = |name| ParamGroup::new(name, Sgd::new(config.nat.learning_rate, 0.0, 0.0));
        Ok((objective, Learner::new(model, vec![group("network"), group(PROJECTION)])))
    }
}

impl<B: Backbone> Objective for Nat<B> {
    type Backbone = B;
    type Model = NatModel<B>;

    fn name(&self) -> &'static str {
        "nat"
    }

    fn backbone(model: &NatModel<B>) -> &B {
        &model.network
    }

    fn with_backbone(model: NatModel<B>, network: B) -> NatModel<B> {
        NatModel { network, ..model }
    }

    fn view(&self) -> Transform {
        self.config.training_transform()
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
        let rate = self.config.nat.learning_rate * self.batch_size(place.num_images) as f64;
        groups.iter_mut().for_each(|group| group.optimizer.learning_rate = rate);
    }

    fn losses(&self, model: &NatModel<B>, batch: &Batch<'_>, step: &Step) -> Result<Losses, EngineError> {
        let points = model.forward(batch.images.clone(), &step.dropout()); // [batch, target_dim]
        if self.exchanges_in(step.place.epoch) {
            let values = host_values(points.clone().without_autodiff(), "while targets were exchanged")?;
            self.exchange(&values, batch.image_indices);
        }
        let dim = self.config.nat.target_dim;
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
                Err(format!("the {name} are no permutation of those of {} images", place.num_images))
            }
        };
        let assigned = Assigned { now: permutation(TARGETS)?, before: permutation(TARGETS_BEFORE)? };
        let projection = match state.weights(PROJECTION) {
            Some(weights) => {
                let device = model.devices().into_iter().next().ok_or("the network has no weights")?;
                let dim = self.config.nat.target_dim;
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
