//! The network of a run as a file for other programs.

use std::collections::BTreeMap;
use std::path::Path;

use deepcluster_clustering::ClusterModel;
use deepcluster_models::weights::{self, ExportFormat, ExportedNetwork};
use deepcluster_models::{Network, export_weights};
use deepcluster_trainer::{RunDirectory, TrainedModel, TrainedNetwork, TrainerError, parse_device};

use crate::Error;

/// Summary of an [`export`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportSummary {
    /// Whether the run has a head, the classifier of the clusters it was trained on last.
    pub has_head: bool,
    /// Whether the run is finished, and so has clusters.
    pub has_clusters: bool,
}

/// Writes the network of the run in the folder `run` to the file `path`, which is replaced if it exists.
///
/// Of a finished run this is the final network with head and clusters, of any other the network of its newest
/// checkpoint. [`ExportFormat`] documents what each format can hold. The metadata of the file contain the
/// settings of the run as `config` and a description of the network.
///
/// # Errors
/// Those of [`RunDirectory::open`], [`TrainedNetwork::load`] and [`weights::export`].
pub fn export(
    run: impl AsRef<Path>,
    format: ExportFormat,
    path: impl AsRef<Path>,
) -> Result<ExportSummary, Error> {
    let run = RunDirectory::open(run.as_ref())?;
    let device = parse_device("auto")?;
    match TrainedModel::load(&run, &device) {
        Ok(model) => write(model.trained_network(), Some(model.clusters()), format, path.as_ref()),
        Err(TrainerError::Unfinished { .. }) => {
            write(&TrainedNetwork::load(&run, &device)?, None, format, path.as_ref())
        }
        Err(error) => Err(error.into()),
    }
}

fn write(
    trained: &TrainedNetwork<Network>,
    clusters: Option<&ClusterModel>,
    format: ExportFormat,
    path: &Path,
) -> Result<ExportSummary, Error> {
    let settings = trained.config();
    let convnet = trained.convnet("export")?;
    let network = export_weights(convnet.network())?;
    let normalization = settings.normalization();
    let exported = ExportedNetwork {
        config: &settings.network()?,
        network: &network,
        head: trained.head(),
        clusters,
        input_mean: normalization.mean,
        input_std: normalization.std,
        metadata: BTreeMap::from([("config".to_string(), settings.to_toml())]),
    };
    weights::export(&exported, format, path)?;
    Ok(ExportSummary { has_head: exported.head.is_some(), has_clusters: clusters.is_some() })
}
