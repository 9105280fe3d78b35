//! Failures of collective operations.

/// The reason why ranks do not get their common result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// Another rank has failed or ended, and will not take part.
    #[error("another rank has left")]
    Left,
    /// The others did not arrive in time.
    #[error("the other ranks did not arrive within {seconds} seconds")]
    TimedOut {
        /// How long this rank waited.
        seconds: u64,
    },
    /// Ranks disagree on the operation, or on the length of what they bring.
    #[error("the ranks do not agree: {reason}")]
    Mismatch {
        /// The difference.
        reason: String,
    },
    /// The library that carries the messages failed.
    #[error("{library} failed: {reason}")]
    Library {
        /// Its name.
        library: String,
        /// Its message.
        reason: String,
    },
}
