//! The contract between an objective and the engine.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use deepcluster_clustering::{Assignments, Clustering, Rows};
use deepcluster_data::{Sample, Transform};
use deepcluster_models::{Backbone, Pass};

use crate::error::EngineError;
use crate::events::{EpochOf, Observer};
use crate::learner::{Learner, ParamGroup};
use crate::losses::Losses;
use crate::seeds::{SeedUse, derive_seed};
use crate::state::{StateReader, StateWriter};

/// A task without labels that a network is trained on.
///
/// The engine calls, epoch by epoch, [`begin_epoch`](Self::begin_epoch), then [`plan`](Self::plan), and for
/// every batch of the plan [`losses`](Self::losses), on several devices at the same time. A run that is
/// resumed within an epoch [loads](Self::load) its state and continues the plan.
///
/// An objective holds no modules: everything that learns is in its [`Model`](Self::Model), so that a device
/// has its own copy. State that steps change, such as targets by image, lies behind a lock and must not
/// depend on the order in which the parts of one batch are computed.
pub trait Objective: Send + Sync {
    /// The network that makes the features.
    type Backbone: Backbone;

    /// The network and all that learns with it, such as heads. Its fields are the names of parameter groups.
    type Model: Module + Send;

    /// Lower-case name, for settings, files and messages.
    const NAME: &'static str;

    /// The network within the model.
    fn backbone(model: &Self::Model) -> &Self::Backbone;

    /// Puts other weights of the network into the model.
    fn with_backbone(model: Self::Model, backbone: Self::Backbone) -> Self::Model;

    /// The view of an image that a sample of the plan gets.
    fn view(&self) -> Transform;

    /// Whether [`begin_epoch`](Self::begin_epoch) needs the features of all images.
    fn needs_features(&self, epoch: usize) -> bool;

    /// Prepares an epoch: clusters, draws targets, replaces heads. Returns the clustering of all images, if
    /// it made one.
    ///
    /// `features`, `[num_images, feature_dim]`, are present if [`needs_features`](Self::needs_features)
    /// requested them; in the first epoch of a run they may be present anyway.
    ///
    /// # Errors
    /// Failures of the objective; [`EngineError::Stopped`] on request of the observer.
    fn begin_epoch(
        &mut self,
        learner: &mut Learner<Self::Model>,
        features: Option<Box<dyn Rows>>,
        epoch: &mut Epoch<'_>,
    ) -> Result<Option<EpochClusters>, EngineError>;

    /// The images of every step of an epoch that has begun, a function of the state.
    fn plan(&self, place: Place) -> Plan;

    /// Sets the learning rates of a step, a function of its place; by default they stay.
    fn schedule(&self, groups: &mut [ParamGroup], place: Place) {
        let _ = (groups, place);
    }

    /// The losses of a batch, means over its images, or of the part of one that a device has.
    ///
    /// # Errors
    /// Those of the device and of the objective.
    fn losses(&self, model: &Self::Model, batch: &Batch<'_>, step: &Step) -> Result<Losses, EngineError>;

    /// The measures of the epoch that ends, beside the loss, by name.
    fn measures(&mut self) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }

    /// The newest clustering that the objective holds.
    fn assignments(&self) -> Option<&Assignments> {
        None
    }

    /// Saves everything but the network and the optimisers: heads and other modules of the model, and the
    /// state.
    ///
    /// # Errors
    /// Those of `state`, and of reading the device.
    fn save(&self, model: &Self::Model, state: &mut dyn StateWriter) -> Result<(), EngineError>;

    /// Restores what [`save`](Self::save) has written for a run of `num_images` images that stopped at
    /// `place`. A state that does not fit changes nothing.
    ///
    /// # Errors
    /// A description of the difference: a state may come from a damaged file.
    fn load(
        &mut self,
        model: Self::Model,
        state: &mut dyn StateReader,
        place: Place,
    ) -> Result<Self::Model, String>;
}

/// A place in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The seed of the run.
    pub run_seed: u64,
    /// Epoch, from 0.
    pub epoch: usize,
    /// Steps of the epoch that are done.
    pub step: usize,
    /// Images of the run.
    pub num_images: usize,
}

impl Place {
    /// The seed of a use in this epoch; `index` distinguishes several.
    pub fn seed(&self, seed_use: SeedUse, index: usize) -> u64 {
        derive_seed(self.run_seed, seed_use, self.epoch, index)
    }
}

/// The beginning of an epoch.
pub struct Epoch<'a> {
    /// The epoch, at step 0.
    pub place: Place,
    /// Epochs of the run.
    pub num_epochs: usize,
    /// The device of the model.
    pub device: &'a Device,
    /// Receives progress.
    pub observer: &'a mut dyn Observer,
}

impl Epoch<'_> {
    /// The epoch among those of the run, for events.
    pub fn place_in_run(&self) -> EpochOf {
        EpochOf { epoch: self.place.epoch, num_epochs: self.num_epochs }
    }
}

/// A clustering of all images.
#[derive(Debug, Clone)]
pub struct EpochClusters {
    /// Assignments, centroids and distances.
    pub clustering: Clustering,
    /// The assignments of the previous epoch.
    pub previous: Option<Assignments>,
    /// Dimensions of the features that were clustered.
    pub num_components: usize,
    /// Seconds for PCA and whitening.
    pub whitening_seconds: f64,
    /// Seconds for clustering.
    pub clustering_seconds: f64,
}

/// The samples of the steps of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The samples of each step, in order.
    pub steps: Vec<Vec<Sample>>,
}

impl Plan {
    /// Steps of `batch_size` of these images, in order; the last has the rest. Every sample has a crop of its
    /// own.
    pub fn new(images: &[u32], batch_size: usize, place: Place) -> Self {
        let sample = |(position, &image): (usize, &u32)| Sample {
            image_index: image as usize,
            augmentation_seed: place.seed(SeedUse::Augmentation, position),
            crop: 0,
        };
        let steps = images.chunks(batch_size).zip((0..).step_by(batch_size));
        Self { steps: steps.map(|(images, first)| (first..).zip(images).map(sample).collect()).collect() }
    }

    /// Number of samples of all steps.
    pub fn num_samples(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }
}

/// Images of a step on a device.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// `[batch, 3, size, size]`, normalised, on the device of the model with autodiff.
    pub images: Tensor<4>,
    /// The number of each image in the run.
    pub image_indices: &'a [usize],
}

/// The place of a step, and the part of its batch that a device has.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The place before the step.
    pub place: Place,
    /// Number of the part, from 0; 0 where the batch is not divided.
    pub part: usize,
}

impl Step {
    /// The pass of training: each part draws its own, the first what a batch that is not divided draws.
    pub fn pass(&self) -> Pass {
        let seed = self.place.seed(SeedUse::Dropout, self.place.step);
        Pass::training(seed.wrapping_add(self.part as u64))
    }
}
