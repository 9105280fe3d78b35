//! The program `deepcluster`. It parses, calls the library and prints; everything else is in the library.

mod arguments;
mod commands;
mod interrupt;
mod progress;
mod stdout;
mod terminal;
mod usage_error;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use deepcluster::Error;
use deepcluster::clustering::ClusteringError;
use deepcluster::data::DataError;
use deepcluster::evaluation::EvaluationError;
use deepcluster::models::ModelError;
use deepcluster::pictures::PictureError;
use deepcluster::proposals::ProposalError;
use deepcluster::report::ReportError;
use deepcluster::transfer::TransferError;

use crate::arguments::{Arguments, Command};
use crate::usage_error::UsageError;

/// Exit code of a run that was stopped and can be resumed, as shells use it for Ctrl-C.
const STOPPED: u8 = 130;
/// Exit code for wrong usage: options, configuration and folders that cannot be what was meant.
const USAGE: u8 = 2;
/// Exit code for everything else that goes wrong.
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => return print_usage(&message),
    };
    deepcluster::keep_freed_memory();
    let level = if arguments.output.quiet { log::LevelFilter::Error } else { log::LevelFilter::Warn };
    // What the library behind GPUs has to say of its search for the fastest kernel is for its own developers.
    let mut logger = env_logger::Builder::new();
    for target in
        ["cubecl", "cubecl_runtime", "cubecl_server", "cubek", "burn_cubecl", "wgpu_core", "wgpu_hal"]
    {
        logger.filter_module(target, level.min(log::LevelFilter::Error));
    }
    logger.filter(None, level);
    // As everything for people: names of files cannot steer the terminal.
    logger.format(|line, record| {
        writeln!(line, "[{:<5}] {}", record.level(), terminal::escaped(&record.args().to_string()))
    });
    logger.init();
    let output = arguments.output;
    let result = match arguments.command {
        Command::Train(command) => commands::train::run(command, output),
        Command::Eval(command) => commands::eval::run(command, output),
        Command::Curves(command) => commands::curves::run(command, output),
        Command::Sweep(command) => commands::sweep::run(command, output),
        Command::Features(command) => commands::features::run(command, output),
        Command::Import(command) => commands::import::run(command, output),
        Command::Assign(command) => commands::assign::run(command, output),
        Command::Neighbors(command) => commands::neighbors::run(command, output),
        Command::Report(command) => commands::report::run(command, output),
        Command::Filters(command) => commands::filters::run(command, output),
        Command::TopImages(command) => commands::top_images::run(command, output),
        Command::Kernels(command) => commands::kernels::run(command, output),
        Command::Inspect(command) => commands::inspect::run(command, output),
        Command::Export(command) => commands::export::run(command, output),
        Command::Demo(command) => commands::demo::run(command, output),
        Command::Devices => commands::devices::run(output),
        Command::Completions { shell } => commands::completions::run(shell),
    };
    match result.and_then(|()| stdout::finish().context("cannot write standard output")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::print_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Help goes to standard output, what is wrong with the options to standard error.
fn print_usage(message: &clap::Error) -> ExitCode {
    let printed = message.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::from(FAILURE),
        _ => ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(USAGE)),
    }
}

/// The code of an error, by its kind: what was typed and cannot be meant is wrong usage, wherever it is found out.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<UsageError>() || is_in_the_way(cause)) {
        return USAGE;
    }
    let codes = error.chain().filter_map(|cause| {
        let code = cause.downcast_ref().map(code_of_trainer);
        let code = code.or_else(|| cause.downcast_ref().map(code_of_transfer));
        let code = code.or_else(|| cause.downcast_ref().map(code_of_pictures));
        let code = code.or_else(|| cause.downcast_ref().map(code_of_report));
        code.or_else(|| cause.downcast_ref().map(code_of_data))
    });
    codes.into_iter().next().unwrap_or(FAILURE)
}

/// Whether it is a file that is there already and may not be replaced.
fn is_in_the_way(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(|error: &std::io::Error| error.kind() == ErrorKind::AlreadyExists)
}

fn code_of_trainer(error: &Error) -> u8 {
    match error {
        Error::Stopped { .. } => STOPPED,
        Error::InvalidConfig { .. }
        | Error::UnknownKey { .. }
        | Error::UnreadableConfig { .. }
        | Error::ConfigChanged { .. }
        | Error::RunExists { .. }
        | Error::NotEmpty { .. }
        | Error::NotARun { .. }
        | Error::NoDevice { .. }
        | Error::NoImages { .. }
        | Error::ImagesGone { .. }
        | Error::UnknownFeatureFile { .. }
        | Error::OtherImages { .. }
        | Error::TooFewImages { .. } => USAGE,
        Error::Data(error) => code_of_data(error),
        Error::Model(error) => code_of_model(error),
        Error::Clustering(error) => code_of_clustering(error),
        Error::Evaluation(error) => code_of_evaluation(error),
        _ => FAILURE,
    }
}

fn code_of_transfer(error: &TransferError) -> u8 {
    match error {
        TransferError::Stopped => STOPPED,
        TransferError::InvalidConfig { .. }
        | TransferError::NoLabels { .. }
        | TransferError::UnknownClass { .. }
        | TransferError::UnknownLayer { .. }
        | TransferError::NoProposals { .. }
        | TransferError::NoSuchImage { .. }
        | TransferError::MalformedGroundTruth { .. }
        | TransferError::Proposals(
            ProposalError::InvalidConfig { .. } | ProposalError::UnknownFormat { .. },
        )
        | TransferError::UnknownMaskValue { .. }
        | TransferError::OtherTask { .. } => USAGE,
        TransferError::Data(error) => code_of_data(error),
        TransferError::Evaluation(error) => code_of_evaluation(error),
        TransferError::Model(error) => code_of_model(error),
        TransferError::Clustering(error) => code_of_clustering(error),
        TransferError::Trainer(error) => code_of_trainer(error),
        _ => FAILURE,
    }
}

fn code_of_pictures(error: &PictureError) -> u8 {
    match error {
        PictureError::Stopped => STOPPED,
        PictureError::InvalidConfig { .. }
        | PictureError::UnknownLayer { .. }
        | PictureError::MalformedFilters { .. }
        | PictureError::NoSuchFilter { .. }
        | PictureError::ImagesTooSmall { .. } => USAGE,
        PictureError::Data(error) => code_of_data(error),
        PictureError::Model(error) => code_of_model(error),
        PictureError::Clustering(error) => code_of_clustering(error),
        PictureError::Trainer(error) => code_of_trainer(error),
        _ => FAILURE,
    }
}

fn code_of_report(error: &ReportError) -> u8 {
    match error {
        ReportError::Stopped => STOPPED,
        ReportError::InvalidConfig { .. } => USAGE,
        ReportError::Clustering(error) => code_of_clustering(error),
        ReportError::Trainer(error) => code_of_trainer(error),
        _ => FAILURE,
    }
}

/// A folder that is not there, or holds no images or labels, cannot be what was meant; an image that cannot be read
/// can.
fn code_of_data(error: &DataError) -> u8 {
    match error {
        DataError::FolderNotFound { .. }
        | DataError::NotAFolder { .. }
        | DataError::NoImages { .. }
        | DataError::NoFolderLabels { .. }
        | DataError::LabelsMatchNothing { .. }
        | DataError::NotVoc { .. }
        | DataError::NoImageSet { .. }
        | DataError::InvalidConfig { .. } => USAGE,
        _ => FAILURE,
    }
}

fn code_of_model(error: &ModelError) -> u8 {
    match error {
        ModelError::InvalidConfig { .. } | ModelError::ImageTooSmall { .. } => USAGE,
        _ => FAILURE,
    }
}

fn code_of_clustering(error: &ClusteringError) -> u8 {
    match error {
        ClusteringError::InvalidConfig { .. }
        | ClusteringError::TooFewSamples { .. }
        | ClusteringError::TooFewCandidates { .. }
        | ClusteringError::TooManyNeighbors { .. } => USAGE,
        _ => FAILURE,
    }
}

fn code_of_evaluation(error: &EvaluationError) -> u8 {
    match error {
        EvaluationError::NumNeighbors { .. } | EvaluationError::Temperature { .. } => USAGE,
        EvaluationError::Clustering(error) => code_of_clustering(error),
        _ => FAILURE,
    }
}
