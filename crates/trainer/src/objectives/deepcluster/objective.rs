//! The objective: new clusters and a new head at the beginning of an epoch, then classification.

use std::marker::PhantomData;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use deepcluster_clustering::{Assignments, Rows};
use deepcluster_data::Transform;
use deepcluster_engine::{
    Batch, EngineError, Epoch, EpochClusters, Learner, Losses, Objective, Place, Plan, SeedUse, Sgd,
    StateReader, StateWriter, Step,
};
use deepcluster_models::{Backbone, Head, NamedWeights, export_weights, import_weights};

use crate::error::TrainerError;
use crate::metrics::EpochMetrics;
use crate::objectives::RunObjective;
use crate::objectives::config::ObjectiveConfig;
use crate::objectives::deepcluster::classifier::Classifier;
use crate::objectives::deepcluster::clustering::cluster_images;
use crate::objectives::deepcluster::config::DeepClusterConfig;
use crate::objectives::deepcluster::health::{warnings_before_training, warnings_of_epoch};
use crate::objectives::deepcluster::pseudo_labels::sample_images;
use crate::run::begin::other_objective;
use crate::settings::config::TrainConfig;

const HEAD: &str = "head";
const ASSIGNMENTS: &str = "assignments";

/// DeepCluster: every epoch clusters the features of all images, replaces the head by one with an output for
/// each cluster, and trains network and head to predict the clusters.
#[derive(Debug)]
pub struct DeepCluster<B> {
    config: DeepClusterConfig,
    batch_size: usize,
    view: Transform,
    /// The newest clustering.
    assignments: Option<Assignments>,
    backbone: PhantomData<fn() -> B>,
}

impl<B: Backbone> RunObjective for DeepCluster<B> {
    fn create(config: &TrainConfig, network: B) -> Result<(Self, Learner<Classifier<B>>), TrainerError> {
        let ObjectiveConfig::DeepCluster(settings) = &config.objective else {
            return Err(other_objective::<Self>(config));
        };
        let sgd = |momentum| Sgd::new(settings.learning_rate, momentum, settings.weight_decay);
        // The head has no momentum, since it lives for one epoch (the original does the same).
        let learner = Classifier::learner(network, None, sgd(settings.momentum), sgd(0.0));
        let objective = Self {
            config: settings.clone(),
            batch_size: config.training.batch_size,
            view: config.images.training_transform(),
            assignments: None,
            backbone: PhantomData,
        };
        Ok((objective, learner))
    }

    fn warnings_before_training(&self, num_images: usize) -> Vec<String> {
        let num_clusters = self.config.clustering.num_clusters(num_images);
        warnings_before_training(&self.config, num_images, num_clusters)
    }

    fn warnings_of_epoch(&self, history: &[EpochMetrics]) -> Vec<String> {
        warnings_of_epoch(&self.config, history)
    }

    fn head(model: &Classifier<B>) -> Result<Option<NamedWeights>, TrainerError> {
        Ok(model.head.as_ref().map(export_weights).transpose()?)
    }
}

impl<B: Backbone> Objective for DeepCluster<B> {
    type Backbone = B;
    type Model = Classifier<B>;

    const NAME: &'static str = "deepcluster";

    fn backbone(model: &Classifier<B>) -> &B {
        &model.network
    }

    fn with_backbone(model: Classifier<B>, network: B) -> Classifier<B> {
        Classifier { network, ..model }
    }

    fn view(&self) -> Transform {
        self.view
    }

    fn needs_features(&self, _epoch: usize) -> bool {
        true
    }

    fn begin_epoch(
        &mut self,
        learner: &mut Learner<Classifier<B>>,
        features: Option<Box<dyn Rows>>,
        epoch: &mut Epoch<'_>,
    ) -> Result<Option<EpochClusters>, EngineError> {
        let features = features.ok_or_else(|| EngineError::objective(Self::NAME, "it got no features"))?;
        let mut clusters =
            cluster_images(features, &self.config.whitening, &self.config.clustering, epoch)?.clusters;
        let assignments = clusters.clustering.assignments.clone();
        let seed = epoch.place.seed(SeedUse::Head, 0);
        let device = epoch.device.clone().autodiff();
        learner.change_model(|model| {
            let head = Head::new(model.network.feature_dim(), assignments.num_clusters(), seed, &device);
            Classifier { head: Some(head), ..model }
        });
        clusters.previous = self.assignments.replace(assignments);
        Ok(Some(clusters))
    }

    fn plan(&self, place: Place) -> Plan {
        let Some(assignments) = &self.assignments else { return Plan { steps: Vec::new() } };
        let num_samples = self.config.num_samples(assignments.len());
        let seed = place.seed(SeedUse::Sampling, 0);
        let images = sample_images(assignments, self.config.sampling, num_samples, seed);
        Plan::new(&images, self.batch_size, place)
    }

    fn losses(&self, model: &Classifier<B>, batch: &Batch<'_>, step: &Step) -> Result<Losses, EngineError> {
        let begun = || EngineError::objective(Self::NAME, "no epoch has begun");
        let assignments = self.assignments.as_ref().ok_or_else(begun)?;
        let labels = assignments.labels();
        let targets: Vec<i64> = batch.image_indices.iter().map(|&index| i64::from(labels[index])).collect();
        let targets = TensorData::new(targets, [batch.image_indices.len()]);
        let targets = Tensor::<1, Int>::from_data(targets, &batch.images.device());
        model.losses(batch.images.clone(), targets, &step.pass()).ok_or_else(begun)
    }

    fn assignments(&self) -> Option<&Assignments> {
        self.assignments.as_ref()
    }

    fn save(&self, model: &Classifier<B>, state: &mut dyn StateWriter) -> Result<(), EngineError> {
        if let Some(head) = &model.head {
            state.weights(HEAD, &export_weights(head)?)?;
        }
        if let Some(assignments) = &self.assignments {
            state.integers(ASSIGNMENTS, assignments.labels(), assignments.num_clusters())?;
        }
        Ok(())
    }

    fn load(
        &mut self,
        model: Classifier<B>,
        state: &mut dyn StateReader,
        place: Place,
    ) -> Result<Classifier<B>, String> {
        let read = |(labels, num_clusters): (Vec<u32>, usize)| {
            Assignments::new(labels, num_clusters).map_err(|error| format!("{ASSIGNMENTS}: {error}"))
        };
        let assignments = state.integers(ASSIGNMENTS).map(read).transpose()?;
        if let Some(clusters) = assignments.as_ref().filter(|clusters| clusters.len() != place.num_images) {
            return Err(format!("it has {} images, and images.csv {}", clusters.len(), place.num_images));
        }
        let num_outputs =
            |weights: &NamedWeights| weights.get("linear.bias").map_or(0, TensorData::num_elements);
        let head = state.weights(HEAD);
        if place.step > 0 {
            let clusters = assignments.as_ref().ok_or("the clusters of the running epoch are missing")?;
            let num_outputs = num_outputs(head.as_ref().ok_or("the head of the running epoch is missing")?);
            let num_clusters = clusters.num_clusters();
            if num_outputs != num_clusters {
                return Err(format!("the head has {num_outputs} outputs for {num_clusters} clusters"));
            }
        }
        let feature_dim = model.network.feature_dim();
        let device = model.devices().into_iter().next().ok_or("the network has no weights")?;
        let fill = |weights: NamedWeights| {
            let num_clusters = num_outputs(&weights);
            let num_weights = weights.get("linear.weight").map_or(0, TensorData::num_elements);
            // A head is made of these numbers before it is filled.
            if num_clusters == 0 || num_clusters.checked_mul(feature_dim) != Some(num_weights) {
                return Err(format!("the head has {num_clusters} outputs and {num_weights} weights"));
            }
            let empty = Head::new(feature_dim, num_clusters, 0, &device.clone().autodiff());
            import_weights(empty, weights).map_err(|error| error.to_string())
        };
        let head = head.map(fill).transpose()?;
        self.assignments = assignments;
        Ok(Classifier { head, ..model })
    }
}
