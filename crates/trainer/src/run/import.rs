//! Runs that begin with a checkpoint of the original code.

use std::path::Path;

use deepcluster_data::Location;
use deepcluster_models::weights::PytorchCheckpoint;

use crate::error::TrainerError;
use crate::objectives::config::ObjectiveConfig;
use crate::objectives::deepcluster::config::DeepClusterConfig;
use crate::run::checkpoint::{Checkpoint, NETWORK_GROUP, ObjectiveState, Progress};
use crate::run::directory::{Origin, RunDirectory};
use crate::settings::changes::refuse_fewer_epochs;
use crate::settings::config::TrainConfig;

impl RunDirectory {
    /// Begins a run in the folder `out` with a checkpoint of the original code (`.pth.tar`, either
    /// serialisation): its network, the momentum of its SGD, its head and the number of its epochs. From then
    /// on it is a run like any other; with `location`, the place of those to cluster and train on, it can be
    /// resumed at once.
    ///
    /// The settings are the defaults with those stored in the checkpoint: network, input, number of clusters,
    /// and the learning rate, momentum and weight decay of its SGD. `change` may alter them, but not the
    /// network.
    ///
    /// # Errors
    /// [`TrainerError::Weights`] for a file that is not such a checkpoint, [`TrainerError::InvalidConfig`],
    /// [`TrainerError::TooFewImages`], and those of [`RunDirectory::create`].
    pub fn import_checkpoint(
        checkpoint: &Path,
        out: &Path,
        location: Option<&Location>,
        change: impl FnOnce(&mut TrainConfig) -> Result<(), TrainerError>,
    ) -> Result<Self, TrainerError> {
        let file = PytorchCheckpoint::open(checkpoint)?;
        let mut config = settings_of(&file);
        change(&mut config)?;
        config.validate()?;
        refuse_other_network(&file, &config)?;
        refuse_fewer_epochs(config.training.epochs, file.epoch())?;
        if let Some(location) = location {
            let images = location.open(&config.scan_config())?;
            let num_clusters = config.num_clusters(images.len());
            if images.len() < num_clusters.max(2) {
                let (folder, num_images) = (images.location(), images.len());
                return Err(TrainerError::TooFewImages { folder, num_images, num_clusters });
            }
        }
        // All is read before anything is written.
        let state = Checkpoint {
            progress: Progress { epoch: file.epoch(), ..Progress::default() },
            network: file.read_network()?,
            velocities: file
                .read_velocities()?
                .map(|all| (NETWORK_GROUP.to_string(), all))
                .into_iter()
                .collect(),
            state: ObjectiveState {
                weights: file.read_head()?.map(|head| ("head".to_string(), head)).into_iter().collect(),
                ..ObjectiveState::default()
            },
        };
        let origin = Origin { file: checkpoint.to_path_buf(), epoch: file.epoch() };
        Self::create_with(out, location, Some((origin, &state)), &config, None)
    }
}

fn settings_of(file: &PytorchCheckpoint) -> TrainConfig {
    let mut config = TrainConfig::default();
    config.images.size = file.image_size();
    config.network.kind = Some(file.architecture());
    config.network.sobel = file.sobel();
    config.network.width = file.width();
    config.training.epochs = file.epoch();
    let mut objective = DeepClusterConfig::default();
    objective.clustering.num_clusters = file.num_clusters();
    if let Some(optimizer) = file.optimizer() {
        objective.learning_rate = optimizer.learning_rate;
        objective.momentum = optimizer.momentum;
        objective.weight_decay = optimizer.weight_decay;
    }
    TrainConfig { objective: ObjectiveConfig::DeepCluster(objective), ..config }
}

/// The settings must describe the network that is in the file.
fn refuse_other_network(file: &PytorchCheckpoint, config: &TrainConfig) -> Result<(), TrainerError> {
    let mut expected = file.network_config(Some(config.images.size))?;
    expected.dropout = config.network.dropout;
    if config.network()? == expected {
        return Ok(());
    }
    let network = &config.network;
    let checks = [
        ("network.kind", network.kind.map(|a| a.to_string()), file.architecture().to_string()),
        ("network.sobel", Some(network.sobel.to_string()), file.sobel().to_string()),
        ("network.width", Some(network.width.to_string()), file.width().to_string()),
    ];
    for (field, value, in_file) in checks {
        if value.as_ref() != Some(&in_file) {
            return Err(TrainerError::InvalidConfig {
                field: field.to_string(),
                value: value.unwrap_or("not set".to_string()),
                allowed: format!("the checkpoint has {in_file}"),
            });
        }
    }
    Ok(())
}
