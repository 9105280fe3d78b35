//! The trait that everything on several ranks is written against.

use std::fmt::Debug;

use crate::error::CollectiveError;

/// A rank among ranks that compute together, be they threads or processes.
///
/// Every operation is collective: all ranks call the same operations in the same order, with slices of the
/// same length where one is changed in place, and each returns once all have brought their part. Results are
/// the same bits on every rank, and for [`sum_i64`](Self::sum_i64) and [`max_f32`](Self::max_f32) at any
/// number of ranks.
///
/// # Errors
/// Each operation fails with [`CollectiveError::Left`] where another rank has failed, and with
/// [`CollectiveError::Mismatch`] where the ranks do not call the same operation with parts of one length; the
/// values are unspecified then.
#[allow(clippy::missing_errors_doc, reason = "stated once for all")]
pub trait Communicator: Send + Sync + Debug {
    /// The number of this rank, from 0 to [`size`](Self::size) - 1.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// Adds up over all ranks, element by element, wrapping on overflow. Exact, so that order does not
    /// matter.
    fn sum_i64(&self, values: &mut [i64]) -> Result<(), CollectiveError>;

    /// The maximum over all ranks, element by element; NaN where any is NaN.
    fn max_f32(&self, values: &mut [f32]) -> Result<(), CollectiveError>;

    /// Adds up over all ranks, element by element, in a fixed tree: pairs of neighbouring ranks, then pairs
    /// of pairs, and so on; a rank without a neighbour is passed on.
    fn sum_in_tree(&self, values: &mut [f32]) -> Result<(), CollectiveError>;

    /// Replaces `bytes` on all ranks by those of the rank `root`.
    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<(), CollectiveError>;

    /// The bytes of all ranks, in their order; lengths may differ.
    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Sends `parts[r]` to rank `r`; returns what each rank has sent to this one. Lengths may differ.
    fn exchange(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Ends all ranks and the process at once with this exit code: for a failure that one rank meets alone.
    fn abort(&self, exit_code: u8) -> !;
}
