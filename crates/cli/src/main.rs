//! The program `deepcluster`. It parses, calls the library and prints; everything else is in the library.

mod advice;
mod arguments;
mod commands;
mod exit_code;
mod interrupt;
mod progress;
mod stdout;
mod terminal;
mod usage_error;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::exit_code::{FAILURE, USAGE, exit_code};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => return print_usage(&message),
    };
    deepcluster::keep_freed_memory();
    let level = if arguments.output.quiet { log::LevelFilter::Error } else { log::LevelFilter::Warn };
    // The library behind GPUs logs its search for the fastest kernel, which only concerns its developers.
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

/// Help goes to standard output, usage errors to standard error.
fn print_usage(message: &clap::Error) -> ExitCode {
    let printed = message.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::from(FAILURE),
        _ => ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(USAGE)),
    }
}
