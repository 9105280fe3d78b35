//! The steps of an epoch with a custom objective: on one device and several, with checkpoints and stops,
//! and with losses for some parameter groups only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use deepcluster_clustering::Rows;
use deepcluster_data::{
    Images, Loader, LoaderConfig, Normalization, Sample, SyntheticConfig, Transform, write_synthetic_folder,
};
use deepcluster_engine::{
    Batch, Course, EngineError, Epoch, EpochClusters, EpochSteps, Event, Learner, Losses, Objective,
    Observer, ParamGroup, Place, Plan, Ranks, Sgd, StateReader, StateWriter, Step,
};
use deepcluster_models::{
    Architecture, Backbone, ConvNet, ConvNetConfig, Head, NamedWeights, Pass, export_weights,
};

const NUM_CLASSES: usize = 3;

#[derive(Module, Debug)]
struct Model {
    network: ConvNet,
    head: Head,
}

/// Classification of four images, whose classes are known.
struct Classes {
    plan: Vec<usize>,
    num_steps: usize,
    /// A class that the head does not have, from this call on.
    fails_at: Option<usize>,
    calls: AtomicUsize,
}

impl Classes {
    fn new(plan: Vec<usize>, num_steps: usize) -> Self {
        Self { plan, num_steps, fails_at: None, calls: AtomicUsize::new(0) }
    }
}

impl Objective for Classes {
    type Backbone = ConvNet;
    type Model = Model;

    const NAME: &'static str = "classes";

    fn backbone(model: &Model) -> &ConvNet {
        &model.network
    }

    fn with_backbone(model: Model, network: ConvNet) -> Model {
        Model { network, ..model }
    }

    fn view(&self) -> Transform {
        Transform::Center { resize: 32, size: 32, normalization: Normalization::default() }
    }

    fn needs_features(&self, _epoch: usize) -> bool {
        false
    }

    fn begin_epoch(
        &mut self,
        _learner: &mut Learner<Model>,
        _features: Option<Box<dyn Rows>>,
        _epoch: &mut Epoch<'_>,
    ) -> Result<Option<EpochClusters>, EngineError> {
        Ok(None)
    }

    fn plan(&self, _place: Place) -> Plan {
        let sample = |&image_index: &usize| Sample { image_index, augmentation_seed: 0, crop: 0 };
        Plan { steps: vec![self.plan.iter().map(sample).collect(); self.num_steps] }
    }

    fn losses(&self, model: &Model, batch: &Batch<'_>, _step: &Step) -> Result<Losses, EngineError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.fails_at.is_some_and(|first| call >= first) {
            return Err(EngineError::objective("classes", "out of classes"));
        }
        let targets: Vec<i64> = batch.image_indices.iter().map(|&image| [0, 1, 2, 0][image]).collect();
        let targets = TensorData::new(targets, [batch.image_indices.len()]);
        let targets = Tensor::<1, Int>::from_data(targets, &batch.images.device());
        let features = model.network.features(batch.images.clone(), &Pass::inference());
        let logits = model.head.forward(model.network.head_input(features));
        Ok(Losses::joint(CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets)))
    }

    fn save(&self, _model: &Model, _state: &mut dyn StateWriter) -> Result<(), EngineError> {
        Ok(())
    }

    fn load(&mut self, model: Model, _state: &mut dyn StateReader, _place: Place) -> Result<Model, String> {
        Ok(model)
    }
}

fn learner() -> Learner<Model> {
    let device = Device::flex().autodiff();
    let mut config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
    config.dropout = 0.0;
    let network = config.init(3, &device).unwrap();
    let head = Head::new(network.feature_dim(), NUM_CLASSES, 5, &device);
    let group = |name, momentum| ParamGroup::new(name, Sgd::new(0.1, momentum, 1e-4));
    Learner::new(Model { network, head }, vec![group("network", 0.9), group("head", 0.0)])
}

fn loader() -> (tempfile::TempDir, Loader) {
    let root = tempfile::tempdir().unwrap();
    let drawings = SyntheticConfig { num_images: 4, image_size: 32, seed: 1 };
    write_synthetic_folder(root.path(), &drawings, &mut |_| {}).unwrap();
    let images = Arc::new(Images::open(root.path()).unwrap());
    let loader = Loader::new(images, LoaderConfig::default()).unwrap();
    (root, loader)
}

fn course() -> Course {
    Course { place: Place { run_seed: 1, epoch: 0, step: 0, num_images: 4 }, loss_sum: 0.0 }
}

/// Losses of an epoch, and where it stops.
#[derive(Default)]
struct Heard {
    losses: Vec<f64>,
    stops_after: Option<usize>,
}

impl Observer for Heard {
    fn event(&mut self, event: &Event) {
        if let Event::Progress { loss: Some(loss), .. } = event {
            self.losses.push(*loss);
        }
    }

    fn should_stop(&self) -> bool {
        self.stops_after.is_some_and(|number| self.losses.len() >= number)
    }
}

type Saved = Vec<(usize, f64)>;

fn train(
    objective: &Classes,
    num_devices: usize,
    checkpoint_steps: usize,
    observer: &mut Heard,
) -> (Result<(), EngineError>, NamedWeights, Saved) {
    let (_root, loader) = loader();
    let mut learner = learner();
    let devices = vec![Device::flex(); num_devices];
    let steps = EpochSteps {
        objective,
        learner: &mut learner,
        devices: &devices,
        loader: &loader,
        batch_size: objective.plan.len(),
        num_epochs: 1,
        checkpoint_steps,
    };
    let mut saved = Vec::new();
    let mut save = |_: &Learner<Model>, course: &Course, _: &mut dyn Observer| {
        saved.push((course.place.step, course.loss_sum));
        Ok::<(), EngineError>(())
    };
    let outcome = steps.run(&mut course(), &mut save, observer).map(|_| ());
    (outcome, export_weights(&learner.model.network).unwrap(), saved)
}

#[test]
fn devices_together_take_the_steps_of_one() {
    // Each part shows the same images, so that batch normalisation has the statistics of the whole.
    for (num_devices, repeats) in [(2, 2), (3, 3)] {
        let objective = Classes::new([0, 1, 2, 3].repeat(repeats), 3);
        let (mut alone, mut together) = (Heard::default(), Heard::default());
        let (_, weights, _) = train(&objective, 1, 0, &mut alone);
        let (outcome, parallel, _) = train(&objective, num_devices, 0, &mut together);
        outcome.unwrap();
        assert!(alone.losses[2] < alone.losses[0], "{:?}", alone.losses);
        for (one, other) in alone.losses.iter().zip(&together.losses) {
            assert!((one - other).abs() < 1e-4, "{:?} {:?}", alone.losses, together.losses);
        }
        for (name, weights) in weights.iter().filter(|(name, _)| !name.contains("running")) {
            let [one, other] =
                [weights, &parallel[name]].map(|data| data.clone().try_into_vec::<f32>().unwrap());
            let largest = one.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for (one, other) in one.iter().zip(&other) {
                let is_near = (one - other).abs() <= 1e-3 * largest + 1e-7;
                assert!(is_near, "{name} on {num_devices} devices: {one} {other}");
            }
        }
    }
}

#[test]
fn a_device_without_a_part_of_the_batch_takes_the_same_step() {
    let objective = Classes::new(vec![2], 2);
    let (mut alone, mut together) = (Heard::default(), Heard::default());
    let (_, weights, _) = train(&objective, 1, 0, &mut alone);
    let (outcome, parallel, _) = train(&objective, 2, 0, &mut together);
    outcome.unwrap();
    assert_eq!(alone.losses, together.losses);
    assert_eq!(weights, parallel);
}

#[test]
fn a_device_that_fails_ends_the_step_of_the_others() {
    let mut objective = Classes::new([0, 1, 2, 3].repeat(2), 8);
    // One of two devices fails in its second step; the other must not wait for it.
    objective.fails_at = Some(3);
    let (outcome, _, _) = train(&objective, 2, 0, &mut Heard::default());
    assert!(outcome.unwrap_err().to_string().contains("out of classes"));
}

#[test]
fn checkpoints_have_the_losses_of_their_steps_and_a_stop_has_one() {
    let objective = Classes::new(vec![0, 1, 2, 3], 5);
    let mut all = Heard::default();
    let (outcome, _, saved) = train(&objective, 1, 2, &mut all);
    outcome.unwrap();
    let sum = |number: usize| all.losses[..number].iter().sum::<f64>();
    assert_eq!(saved, [(2, sum(2)), (4, sum(4))]);
    let mut stopped = Heard { stops_after: Some(3), ..Heard::default() };
    let (outcome, _, saved) = train(&objective, 1, 0, &mut stopped);
    assert!(matches!(outcome, Err(EngineError::Stopped { epoch: 0, step: 3 })));
    assert_eq!(saved, [(3, sum(3))]);
}

#[test]
fn a_loss_moves_only_its_parameter_groups() {
    let device = Device::flex().autodiff();
    let weights = |learner: &Learner<Model>| {
        (export_weights(&learner.model.network).unwrap(), export_weights(&learner.model.head).unwrap())
    };
    let images = Tensor::<4>::ones([2, 3, 32, 32], &device);
    let logits = |model: &Model| {
        let features = model.network.features(images.clone(), &Pass::inference());
        model.head.forward(model.network.head_input(features))
    };
    let mut learner = learner();
    let before = weights(&learner);
    let loss = logits(&learner.model).powf_scalar(2.0).sum();
    learner.step(Losses::by_groups(loss, &["head"]), &Ranks::single()).unwrap();
    let after = weights(&learner);
    assert!(before.1 != after.1);
    let moved = |name: &&String| !name.contains("running") && before.0[*name] != after.0[*name];
    assert_eq!(after.0.keys().find(moved), None);

    // Two opposed losses, each for its group: the step is that of both.
    let (first, second) = (logits(&learner.model).sum(), -logits(&learner.model).sum());
    let value = learner.step(Losses::by_groups(first, &["head"]).and(second, &["network"]), &Ranks::single());
    assert!(value.unwrap().read().unwrap().abs() < 1e-4);
    assert!(weights(&learner).0 != after.0 && weights(&learner).1 != after.1);
}

#[test]
fn nothing_moves_where_the_loss_is_not_finite() {
    let mut learner = learner();
    let before = export_weights(&learner.model.head).unwrap();
    let device = Device::flex().autodiff();
    let input = Tensor::full([1, learner.model.network.feature_dim()], f32::INFINITY, &device);
    let loss = learner.model.head.forward(input).sum();
    let loss = learner.step(Losses::joint(loss), &Ranks::single()).unwrap().read().unwrap();
    assert!(!loss.is_finite());
    assert_eq!(export_weights(&learner.model.head).unwrap(), before);
}
