//! The error of the facade.

use deepcluster_clustering::ClusteringError;
use deepcluster_data::DataError;
use deepcluster_engine::EngineError;
use deepcluster_evaluation::EvaluationError;
use deepcluster_files::{HasKind, Kind};
use deepcluster_models::ModelError;
use deepcluster_models::weights::WeightsError;
#[cfg(feature = "report")]
use deepcluster_report::ReportError;
use deepcluster_trainer::TrainerError;
#[cfg(feature = "transfer")]
use deepcluster_transfer::TransferError;

/// Any error of the crates behind this one, so that `?` works in a program that uses several of them.
///
/// ```
/// use deepcluster::clustering::KMeansConfig;
/// use deepcluster::{Error, HasKind, Kind};
///
/// fn check(num_clusters: usize) -> Result<(), Error> {
///     KMeansConfig { num_clusters, ..KMeansConfig::default() }.validate()?;
///     Ok(())
/// }
///
/// assert!(check(10).is_ok());
/// assert_eq!(check(0).unwrap_err().kind(), Kind::Usage);
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum Error {
    /// Images that cannot be found or read.
    Data(#[from] DataError),
    /// Features that cannot be clustered.
    Clustering(#[from] ClusteringError),
    /// A network that cannot be built or loaded.
    Model(#[from] ModelError),
    /// A file of weights that cannot be read or written.
    Weights(#[from] WeightsError),
    /// A step, a pass or a device that fails.
    Engine(#[from] EngineError),
    /// A measure that cannot be computed.
    Evaluation(#[from] EvaluationError),
    /// A run that cannot start, continue or be read.
    Trainer(#[from] TrainerError),
    /// A protocol of evaluation that cannot be carried out.
    #[cfg(feature = "transfer")]
    Transfer(#[from] TransferError),
    /// A report or a picture that cannot be made.
    #[cfg(feature = "report")]
    Report(#[from] ReportError),
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Data(error) => error.kind(),
            Self::Clustering(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Weights(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Evaluation(error) => error.kind(),
            Self::Trainer(error) => error.kind(),
            #[cfg(feature = "transfer")]
            Self::Transfer(error) => error.kind(),
            #[cfg(feature = "report")]
            Self::Report(error) => error.kind(),
        }
    }
}
