//! Results on disk that appear whole or not at all: a reader never sees half of one, whatever happens to the
//! writer, and what is not ours is never replaced.
//!
//! - [`write_whole`] and [`OutputFile`]: a file by way of a temporary one. Links are followed; devices and
//!   pipes are written to.
//! - [`TemporaryFolder`] and [`create_folder`]: the same for folders.
//! - [`ResultFolder`]: results in a folder that holds other things too.
//! - [`read_bounded`] and [`BoundedLines`]: input that ends, whatever a path leads to.
//! - [`remove_leftovers`]: temporary files of killed processes.
//! - [`mark_output_folder`]: results that are not to be read as images.
//! - [`Kind`] and [`HasKind`]: failures by their kind.
//!
//! ```
//! use std::io::Write;
//!
//! # fn main() -> std::io::Result<()> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("clusters.csv");
//! deepcluster_files::write_whole(&path, |writer| writer.write_all(b"path,cluster\n"))?;
//! assert_eq!(std::fs::read(&path)?, b"path,cluster\n");
//! # Ok(())
//! # }
//! ```

mod bounded;
mod destination;
mod error_kind;
mod folders;
mod leftovers;
mod output_file;
mod output_marker;
#[cfg(feature = "results")]
mod result_folder;

pub use bounded::{BoundedLines, read_bounded, read_text};
pub use error_kind::{HasKind, Kind};
pub use folders::{TemporaryFolder, create_folder, sync_folder};
pub use leftovers::remove_leftovers;
pub use output_file::{OutputFile, write_whole};
pub use output_marker::{is_output_folder, mark_output_folder};
#[cfg(feature = "results")]
pub use result_folder::{Replaceable, ResultFolder};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
