#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests stop at what does not work"
)]

//! The program, a browser and image files, for tests; not published.
//!
//! The libraries that tests and benches use are re-exported from here.

mod browser;
mod images;
mod program;

pub use assert_cmd;
pub use criterion;
pub use predicates;

pub use browser::Page;
pub use images::encode;
pub use program::program;
