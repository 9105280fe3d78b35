//! A page of what a run has found: `write_report` makes one HTML file that opens from the disk in any
//! browser.
//!
//! In the order in which it is made: [`RunContents`] are what the run holds; `cluster_cards` says of each
//! cluster how large and how close together it is, which of its images are typical and which doubtful;
//! `misfits` finds images that are like no other and near-duplicates; `map` gives every image a place in the
//! plane; `thumbnails` shrinks them to sheets; `summary` says in words what to look at; `page` puts it all
//! into the template.
//!
//! [`pictures`] shows on sheets what the network has learned.

mod cluster_cards;
mod error;
mod map;
mod misfits;
mod page;
pub mod pictures;
mod run_contents;
mod summary;
mod tables;
mod thumbnails;

pub use deepcluster_files::Replaceable;
pub use deepcluster_plots::{ContactSheet, PlotError};
pub use error::ReportError;
pub use page::{ReportConfig, WrittenReport, write_report};
pub use run_contents::RunContents;
