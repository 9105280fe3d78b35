//! Damaged copies of files, for tests of what reads them.
//!
//! [`ReaderTest`] writes copies of sound files with damage in them and has them read: a reader may refuse a
//! file or read it, but it does not panic, takes no more memory than a multiple of the file, and names the
//! file it refuses. For the memory to be counted, the test program must have a [`CountingAllocator`]:
//!
//! ```
//! use deepcluster_damage::{CountingAllocator, ReaderTest};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! let seeds = [b"17".to_vec(), b"-3".to_vec()];
//! let outcomes = ReaderTest::new("number.txt", seeds).num_cases(100).memory(8, 4096).run(|path| {
//!     let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
//!     text.parse::<i64>().map_err(|error| format!("{}: {error}", path.display()))
//! });
//! assert!(outcomes.num_read > 0 && outcomes.num_refused > 0);
//! ```
//!
//! Cases are the same in every run. `PROPTEST_CASES` sets how many are tried instead, `PROPTEST_RNG_SEED`
//! tries others.

mod allocator;
mod change;
mod corpus;
mod reader_test;

pub use allocator::{CountingAllocator, peak_allocation};
pub use corpus::{Corpus, Damaged};
pub use reader_test::{Outcomes, ReaderTest, config};
