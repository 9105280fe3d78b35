//! The program `deepcluster`. It parses, calls the library and prints; everything else is in the library.

mod arguments;
mod commands;
mod interrupt;
mod progress;
mod stdout;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use deepcluster::Error;
use deepcluster::clustering::ClusteringError;
use deepcluster::data::DataError;
use deepcluster::models::ModelError;
use deepcluster::pictures::PictureError;
use deepcluster::proposals::ProposalError;
use deepcluster::report::ReportError;
use deepcluster::transfer::TransferError;

use crate::arguments::{Arguments, Command};

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
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(FAILURE),
        _ => ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(USAGE)),
    }
}

/// Whether there is a file that may not be replaced.
fn is_in_the_way(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AlreadyExists
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref().is_some_and(is_in_the_way) {
        return USAGE;
    }
    let of_pictures = match error.downcast_ref::<PictureError>() {
        Some(PictureError::Stopped) => return STOPPED,
        Some(
            PictureError::InvalidConfig { .. }
            | PictureError::UnknownLayer { .. }
            | PictureError::NoSuchFilter { .. }
            | PictureError::ImagesTooSmall { .. },
        ) => return USAGE,
        Some(PictureError::Trainer(error)) => Some(error),
        _ => None,
    };
    let of_report = match error.downcast_ref::<ReportError>() {
        Some(ReportError::Stopped) => return STOPPED,
        Some(ReportError::InvalidConfig { .. }) => return USAGE,
        Some(ReportError::Io { source, .. }) if is_in_the_way(source) => return USAGE,
        Some(ReportError::Trainer(error)) => Some(error),
        _ => None,
    };
    let of_library = match error.downcast_ref::<TransferError>() {
        Some(TransferError::Stopped) => return STOPPED,
        Some(
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
            | TransferError::OtherTask { .. },
        ) => return USAGE,
        Some(TransferError::Data(
            DataError::NotVoc { .. } | DataError::NoImageSet { .. } | DataError::FolderNotFound { .. },
        )) => return USAGE,
        Some(TransferError::Io { source, .. }) if is_in_the_way(source) => return USAGE,
        Some(TransferError::Trainer(error)) => Some(error),
        _ => of_pictures.or(of_report).or(error.downcast_ref::<Error>()),
    };
    match of_library {
        Some(Error::Stopped { .. }) => STOPPED,
        Some(
            Error::InvalidConfig { .. }
            | Error::UnknownKey { .. }
            | Error::UnreadableConfig { .. }
            | Error::ConfigChanged { .. }
            | Error::RunExists { .. }
            | Error::NotEmpty { .. }
            | Error::NotARun { .. }
            | Error::NoDevice { .. }
            | Error::NoImages { .. }
            | Error::UnknownFeatureFile { .. }
            | Error::OtherImages { .. }
            | Error::TooFewImages { .. }
            | Error::Model(ModelError::InvalidConfig { .. } | ModelError::ImageTooSmall { .. })
            | Error::Clustering(ClusteringError::InvalidConfig { .. }),
        ) => USAGE,
        _ => FAILURE,
    }
}
