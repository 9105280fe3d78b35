//! Collective operations: ranks that compute together exchange their parts and all get the same result.
//!
//! [`Communicator`] is the trait, [`Single`] a rank alone and [`Threads`] the ranks of one process.
//!
//! ```
//! use deepcluster_collectives::{Communicator, Threads};
//!
//! let ranks = Threads::group(3);
//! let sums: Vec<i64> = std::thread::scope(|scope| {
//!     let threads: Vec<_> = ranks
//!         .into_iter()
//!         .map(|rank| {
//!             scope.spawn(move || {
//!                 let mut values = [rank.rank() as i64 + 1];
//!                 rank.sum_i64(&mut values).map(|()| values[0])
//!             })
//!         })
//!         .collect();
//!     threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
//! });
//! assert_eq!(sums, [6, 6, 6]);
//! ```

mod communicator;
mod error;
mod single;
mod threads;
mod tree;

pub use communicator::Communicator;
pub use error::CollectiveError;
pub use single::Single;
pub use threads::Threads;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
