//! Exit codes of the program, by the kind of an error.

use std::io::ErrorKind;

use deepcluster::data::DataError;
use deepcluster::report::ReportError;
use deepcluster::trainer::{EngineError, TrainerError};
use deepcluster::transfer::TransferError;
use deepcluster::{Error, HasKind, Kind};

use crate::usage_error::UsageError;

/// Exit code of a run that was stopped and can be resumed, as shells use it for Ctrl-C.
pub(crate) const STOPPED: u8 = 130;
/// Exit code for wrong usage: options, configuration and folders that cannot be what was meant.
pub(crate) const USAGE: u8 = 2;
/// Exit code for all other failures.
pub(crate) const FAILURE: u8 = 1;

/// The exit code after an error: by the kind of the first of its causes that has one.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_in_the_way) {
        return USAGE;
    }
    match error.chain().find_map(kind) {
        Some(Kind::Usage) => USAGE,
        Some(Kind::Stopped) => STOPPED,
        _ => FAILURE,
    }
}

/// The kind of an error of the library or of this program; `None` for all others.
fn kind(cause: &(dyn std::error::Error + 'static)) -> Option<Kind> {
    fn kind_of<E: HasKind + std::error::Error + 'static>(
        cause: &(dyn std::error::Error + 'static),
    ) -> Option<Kind> {
        cause.downcast_ref::<E>().map(HasKind::kind)
    }
    let kinds = [
        kind_of::<UsageError>,
        kind_of::<Error>,
        kind_of::<TrainerError>,
        kind_of::<EngineError>,
        kind_of::<TransferError>,
        kind_of::<ReportError>,
        kind_of::<DataError>,
    ];
    kinds.into_iter().find_map(|kind| kind(cause))
}

/// Whether a file exists already and may not be replaced.
fn is_in_the_way(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(|error: &std::io::Error| error.kind() == ErrorKind::AlreadyExists)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use anyhow::anyhow;
    use deepcluster::clustering::ClusteringError;
    use deepcluster::evaluation::EvaluationError;
    use deepcluster::models::ModelError;
    use deepcluster::models::weights::WeightsError;
    use deepcluster::report::charts::PlotError;
    use deepcluster::transfer::proposals::ProposalError;

    use super::*;

    fn path() -> PathBuf {
        PathBuf::from("a/file")
    }

    fn text() -> String {
        "text".to_string()
    }

    fn io() -> io::Error {
        io::Error::other("no space left")
    }

    /// Each error of a crate below the run, alone and as the trainer, transfer and the report pass
    /// it on.
    fn lower_errors() -> Vec<(u8, TrainerError)> {
        let model = |error: ModelError| TrainerError::from(error);
        let data = |error: DataError| TrainerError::from(error);
        let clustering = |error: ClusteringError| TrainerError::from(error);
        let evaluation = |error: EvaluationError| TrainerError::from(error);
        vec![
            (2, data(DataError::FolderNotFound { path: path() })),
            (2, data(DataError::NotAFolder { path: path() })),
            (
                2,
                data(DataError::NoImages {
                    root: path(),
                    num_files_seen: 0,
                    num_skipped: 0,
                    rest: String::new(),
                }),
            ),
            (2, data(DataError::NoFolderLabels { root: path() })),
            (2, data(DataError::LabelsMatchNothing { path: path(), root: path(), num_rows: 1 })),
            (2, data(DataError::NotVoc { root: path() })),
            (2, data(DataError::NoImageSet { path: path(), known: Vec::new() })),
            (2, data(DataError::InvalidConfig { field: "size", value: text(), allowed: "1" })),
            (1, data(DataError::Decode { path: path(), reason: text() })),
            (1, data(DataError::MalformedLabels { path: path(), line: 1, reason: text() })),
            (1, data(DataError::NameOutsideFolder { path: path(), line: 1, name: text() })),
            (1, data(DataError::Io { action: "read", path: path(), source: io() })),
            (1, data(DataError::FolderNotEmpty { path: path() })),
            (2, model(ModelError::InvalidConfig { field: "width", value: text(), allowed: text() })),
            (2, model(ModelError::ImageTooSmall { architecture: text(), image_size: 1, minimum: 2 })),
            (1, model(ModelError::WeightsMismatch { reason: text() })),
            (1, model(ModelError::Device { source: text().into() })),
            (2, clustering(ClusteringError::InvalidConfig { field: "k", value: text(), allowed: "1" })),
            (2, clustering(ClusteringError::TooFewSamples { num_samples: 1, num_clusters: 2 })),
            (2, clustering(ClusteringError::TooFewCandidates { num_neighbors: 2, num_candidates: 1 })),
            (2, clustering(ClusteringError::TooManyNeighbors { num_queries: 1, num_neighbors: 2 })),
            (130, clustering(ClusteringError::Cancelled)),
            (1, clustering(ClusteringError::Device { during: "k-means", reason: text() })),
            (1, clustering(ClusteringError::NonFiniteFeatures { row: 1 })),
            (1, clustering(ClusteringError::Io { action: "read", path: path(), source: io() })),
            (2, evaluation(EvaluationError::NumNeighbors { num_neighbors: 2, allowed: 1 })),
            (2, evaluation(EvaluationError::Temperature { temperature: 0.0 })),
            (1, evaluation(EvaluationError::NoPositives)),
            (2, evaluation(ClusteringError::TooFewSamples { num_samples: 1, num_clusters: 2 }.into())),
            (2, EngineError::NoDevice { name: text(), reason: text() }.into()),
            (130, EngineError::Stopped { epoch: 1, step: 2 }.into()),
            (1, EngineError::device("a step", text()).into()),
            (1, EngineError::OutOfMemory { setting: "training.batch_size", asked: 2, fits: None }.into()),
            (1, EngineError::Diverged { epoch: 1, step: 2, loss: f64::NAN }.into()),
            (1, EngineError::ImageVanished { path: path(), reason: text() }.into()),
            (1, EngineError::objective("nat", text()).into()),
            (1, WeightsError::UnknownFormat { name: text(), allowed: text() }.into()),
        ]
    }

    fn trainer_errors() -> Vec<(u8, TrainerError)> {
        vec![
            (2, TrainerError::InvalidConfig { field: text(), value: text(), allowed: text() }),
            (2, TrainerError::UnknownKey { key: text(), hint: text() }),
            (2, TrainerError::UnreadableConfig { origin: text(), reason: text() }),
            (2, TrainerError::ConfigChanged { path: path(), key: text(), saved: text(), asked: text() }),
            (2, TrainerError::RunExists { path: path() }),
            (2, TrainerError::NotEmpty { path: path() }),
            (2, TrainerError::NotARun { path: path(), reason: text() }),
            (2, TrainerError::NotBegun { path: path() }),
            (2, TrainerError::NoImages { path: path() }),
            (2, TrainerError::ImagesGone { path: path(), images: path().into() }),
            (2, TrainerError::UnknownFeatureFile { path: path(), reason: "no" }),
            (2, TrainerError::TooFewImages { folder: path().into(), num_images: 1, num_clusters: 2 }),
            (1, TrainerError::NoReadableImage { folder: path().into(), num_files: 1, reason: text() }),
            (1, TrainerError::Mixed { path: path(), first: "a", second: text(), reason: text() }),
            (1, TrainerError::Damaged { path: path(), reason: text() }),
            (1, TrainerError::NoUsableCheckpoint { path: path(), reason: text() }),
            (1, TrainerError::OtherVersion { path: path(), found: 2, supported: 1 }),
            (1, TrainerError::RunLocked { path: path() }),
            (1, TrainerError::Unfinished { path: path() }),
            (1, TrainerError::Io { action: "write", path: path(), source: io() }),
        ]
    }

    #[test]
    fn errors_of_the_facade_keep_the_code_of_their_cause() {
        let usage = DataError::FolderNotFound { path: path() };
        assert_eq!(exit_code(&Error::from(usage).into()), 2);
        assert_eq!(exit_code(&Error::from(TransferError::NoLabels { folder: path().into() }).into()), 2);
        assert_eq!(exit_code(&Error::from(ReportError::Stopped).into()), 130);
        assert_eq!(exit_code(&Error::from(TrainerError::from(ClusteringError::Cancelled)).into()), 130);
        assert_eq!(
            exit_code(&Error::from(DataError::Io { action: "read", path: path(), source: io() }).into()),
            1
        );
    }

    #[test]
    fn runs_and_all_below_them_keep_their_codes_wherever_they_pass() {
        for errors in [lower_errors, trainer_errors] {
            let num_errors = errors().len();
            for index in 0..num_errors {
                let take = || errors().swap_remove(index);
                let (code, error) = take();
                let message = error.to_string();
                let passed_on: [anyhow::Error; 4] = [
                    error.into(),
                    anyhow::Error::from(take().1).context("while training"),
                    TransferError::from(take().1).into(),
                    ReportError::from(take().1).into(),
                ];
                for error in passed_on {
                    assert_eq!(exit_code(&error), code, "{message}: {error:?}");
                }
            }
        }
    }

    #[test]
    fn evaluations_and_reports_have_codes() {
        let unknown = |path| ProposalError::UnknownFormat { path };
        let transfer: [(u8, TransferError); 16] = [
            (130, TransferError::Stopped),
            (2, TransferError::InvalidConfig { field: "epochs", value: text(), allowed: text() }),
            (2, TransferError::NoLabels { folder: path().into() }),
            (2, TransferError::UnknownClass { folder: path().into(), class: text() }),
            (2, TransferError::UnknownLayer { layer: text(), known: text() }),
            (2, TransferError::NoProposals { image: text() }),
            (2, TransferError::NoSuchImage { image: text(), folder: path().into() }),
            (2, TransferError::MalformedGroundTruth { path: path(), reason: text() }),
            (2, TransferError::UnknownMaskValue { image: text(), value: 9, num_classes: 2 }),
            (2, TransferError::OtherTask { path: path(), difference: "settings".to_string() }),
            (2, unknown(path()).into()),
            (2, ProposalError::Matlab { path: path() }.into()),
            (1, ProposalError::Malformed { path: path(), reason: text() }.into()),
            (1, TransferError::Damaged { path: path(), reason: text() }),
            (1, TransferError::NoReadableImage { image: text() }),
            (1, TransferError::Device { during: "a step", source: text().into() }),
        ];
        let reports: [(u8, ReportError); 9] = [
            (130, ReportError::Stopped),
            (2, ReportError::InvalidConfig { field: "steps", value: text(), allowed: text() }),
            (2, ReportError::UnknownLayer { layer: text(), known: text() }),
            (2, ReportError::MalformedFilters { text: text() }),
            (2, ReportError::NoSuchFilter { layer: text(), filter: 9, last: 1 }),
            (2, ReportError::ImagesTooSmall { size: 1, layer: text() }),
            (1, ReportError::Page { reason: text() }),
            (1, ReportError::Io { action: "write", path: path(), source: io() }),
            (1, PlotError::UnknownFormat { path: path() }.into()),
        ];
        let transfer = transfer.map(|(code, error)| (code, anyhow::Error::from(error)));
        let reports = reports.map(|(code, error)| (code, anyhow::Error::from(error)));
        for (code, error) in transfer.into_iter().chain(reports) {
            assert_eq!(exit_code(&error), code, "{error:?}");
        }
    }

    #[test]
    fn errors_of_the_program_and_of_the_system_have_codes() {
        let usage = || anyhow::Error::from(UsageError(text()));
        assert_eq!(exit_code(&usage()), 2);
        assert_eq!(exit_code(&usage().context("cannot begin")), 2);
        assert_eq!(exit_code(&anyhow!("something else")), 1);
        assert_eq!(exit_code(&io().into()), 1);
        let in_the_way = || io::Error::from(ErrorKind::AlreadyExists);
        assert_eq!(exit_code(&anyhow::Error::from(in_the_way()).context("cannot write")), 2);
        // A file that is in the way of a run is one as well.
        let error = TrainerError::Io { action: "write", path: path(), source: in_the_way() };
        assert_eq!(exit_code(&error.into()), 2);
    }
}
