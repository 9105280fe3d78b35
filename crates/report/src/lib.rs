//! The results of a run as a page: [`write_report`] writes one HTML file that opens from the disk in any
//! browser.
//!
//! In the order of the work: [`RunContents`] are the results of the run; `cluster_cards` measures each
//! cluster (size, cohesion, typical and doubtful images); `misfits` finds outliers and near-duplicates; `map`
//! places every image in the plane; `thumbnails` shrinks them to sheets; `summary` puts the findings into
//! words; `page` fills the template.
//!
//! [`charts`] draws curves, [`sheets`] rows of small pictures, and [`pictures`] shows on sheets what the
//! network has learned.

pub mod charts;
mod cluster_cards;
mod error;
mod map;
mod misfits;
mod page;
pub mod pictures;
mod run_contents;
pub mod sheets;
mod summary;
mod tables;
mod thumbnails;

pub use deepcluster_files::Replaceable;
pub use error::ReportError;
pub use page::{ReportConfig, WrittenReport, write_report};
pub use run_contents::RunContents;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
