//! The program as a user runs it.
//!
//! - `commands`: every command on a small run;
//! - `evaluation`: what was learned;
//! - `earlier_format`: runs of the program before;
//! - `export`: networks for other programs;
//! - `bad_input`: what goes wrong, with its message and exit code;
//! - `interchange`: checkpoints in, features out;
//! - `pictures`: kernels, filters, top images and neighbours as pictures;
//! - `report`: the page of a run, in a real browser;
//! - `objectives`: runs of another objective than DeepCluster;
//! - `outputs`: standard output that ends early, links, pipes, devices, and folders of clusters;
//! - `own_network`: a run of a network that is not one of the program;
//! - `voc_tasks`: PASCAL VOC, retrieval, curves and sweeps;
//! - `kill_and_resume`: stops of every sort, and what comes after;
//! - `recorded_runs`: bits of small runs against a record.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod bad_input;
mod commands;
mod common;
mod earlier_format;
mod evaluation;
mod export;
mod interchange;
mod kill_and_resume;
mod objectives;
mod outputs;
mod own_network;
mod pictures;
mod recorded_runs;
mod report;
mod voc_tasks;
