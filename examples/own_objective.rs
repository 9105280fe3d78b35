//! An objective of one's own, trained by the same loop: which way up is an image? (Gidaris, Singh and
//! Komodakis, *Unsupervised Representation Learning by Predicting Image Rotations*, ICLR 2018.)
//!
//! `cargo run --release --example own_objective`, half a minute on 2 cores. Expect the loss to fall below
//! that of chance, ln 4 = 1.386, and a run directory with clusters at the end, as of every objective.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use deepcluster::burn;
use deepcluster::burn::module::Module;
use deepcluster::burn::nn::loss::CrossEntropyLossConfig;
use deepcluster::burn::tensor::{Int, Tensor, TensorData};
use deepcluster::clustering::Rows;
use deepcluster::data::{SyntheticConfig, Transform, write_synthetic_folder};
use deepcluster::engine::{
    Batch, EngineError, Epoch, EpochClusters, Learner, Losses, Objective, ParamGroup, Place, Plan, SeedUse,
    StateReader, StateWriter, Step,
};
use deepcluster::models::{Head, export_weights, import_weights};
use deepcluster::prelude::*;
use deepcluster::trainer::{RunObjective, TrainerError};

const NUM_TURNS: usize = 4;

/// Everything that learns: the fields are the parameter groups.
#[derive(Module, Debug)]
struct Model {
    network: Network,
    head: Head,
}

struct Rotations {
    config: TrainConfig,
}

impl Objective for Rotations {
    type Backbone = Network;
    type Model = Model;

    const NAME: &'static str = "rotations";

    fn backbone(model: &Model) -> &Network {
        &model.network
    }

    fn with_backbone(model: Model, network: Network) -> Model {
        Model { network, ..model }
    }

    fn view(&self) -> Transform {
        self.config.reading().transform()
    }

    fn needs_features(&self, _epoch: usize) -> bool {
        false
    }

    /// Nothing changes from epoch to epoch.
    fn begin_epoch(
        &mut self,
        _learner: &mut Learner<Model>,
        _features: Option<Box<dyn Rows>>,
        _epoch: &mut Epoch<'_>,
    ) -> Result<Option<EpochClusters>, EngineError> {
        Ok(None)
    }

    /// Every image once, in an order of the epoch's own.
    fn plan(&self, place: Place) -> Plan {
        let mut images: Vec<u32> = (0..place.num_images as u32).collect();
        images.sort_by_key(|&image| place.seed(SeedUse::Sampling, image as usize));
        Plan::new(&images, self.config.training.batch_size, place)
    }

    /// All four turns of each image, and which is which.
    fn losses(&self, model: &Model, batch: &Batch<'_>, step: &Step) -> Result<Losses, EngineError> {
        let upright = batch.images.clone();
        let quarter = |images: Tensor<4>| images.swap_dims(2, 3).flip([2]);
        let half = upright.clone().flip([2, 3]);
        let turned = vec![upright.clone(), quarter(upright), half.clone(), quarter(half)];
        let num_images = batch.image_indices.len();
        let turns: Vec<i64> = (0..NUM_TURNS as i64).flat_map(|turn| vec![turn; num_images]).collect();
        let turns = TensorData::new(turns, [NUM_TURNS * num_images]);
        let turns = Tensor::<1, Int>::from_data(turns, &batch.images.device());
        let features = model.network.features(Tensor::cat(turned, 0), &step.pass());
        let answers = model.head.forward(model.network.head_input(features));
        Ok(Losses::joint(CrossEntropyLossConfig::new().init(&answers.device()).forward(answers, turns)))
    }

    fn save(&self, model: &Model, state: &mut dyn StateWriter) -> Result<(), EngineError> {
        state.weights("head", &export_weights(&model.head)?)
    }

    fn load(&mut self, model: Model, state: &mut dyn StateReader, _place: Place) -> Result<Model, String> {
        let weights = state.weights("head").ok_or("the head is missing")?;
        let head = import_weights(model.head.clone(), weights).map_err(|error| error.to_string())?;
        Ok(Model { head, ..model })
    }
}

impl RunObjective for Rotations {
    fn create(config: &TrainConfig, network: Network) -> Result<(Self, Learner<Model>), TrainerError> {
        let sgd = || config.objective.sgd();
        let device = network.devices().into_iter().next().unwrap_or_default();
        let head = Head::new(network.feature_dim(), NUM_TURNS, config.seed, &device);
        let groups = vec![ParamGroup::new("network", sgd()), ParamGroup::new("head", sgd())];
        Ok((Self { config: config.clone() }, Learner::new(Model { network, head }, groups)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let (images, out) = (temporary.path().join("images"), temporary.path().join("run"));
    write_synthetic_folder(
        &images,
        &SyntheticConfig { num_images: 600, image_size: 32, seed: 1 },
        &mut |_| {},
    )?;

    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.width = 0.25;
    config.objective.clustering_mut().num_clusters = Some(30);
    config.training.epochs = 4;
    config.training.batch_size = 32;
    let images = Images::open(images)?;
    let model = Trainer::<Rotations>::begin(config, images, &out, &parse_device("auto")?)?.run(&mut ())?;
    for epoch in RunDirectory::open(&out)?.metrics()? {
        println!("epoch {}: loss {:?}", epoch.epoch, epoch.loss);
    }
    println!("{} clusters of what it has learned", model.clusters().centroids.nrows());
    Ok(())
}
