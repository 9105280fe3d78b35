//! Saving and restoring the state of an objective.

use deepcluster_models::NamedWeights;

use crate::error::EngineError;

/// Receives the parts of a state one by one, so that at most one is copied from the device at a
/// time.
pub trait StateWriter {
    /// Named float arrays, such as the weights of a head.
    ///
    /// # Errors
    /// A failure to write them.
    fn weights(&mut self, name: &str, weights: &NamedWeights) -> Result<(), EngineError>;

    /// A list of integers, one for each image for example, and a bound above them all, such as a number of
    /// clusters.
    ///
    /// # Errors
    /// A failure to write them.
    fn integers(&mut self, name: &str, values: &[u32], bound: usize) -> Result<(), EngineError>;
}

/// Returns the parts of a state by name; each can be taken once. They may come from a damaged file.
pub trait StateReader {
    /// Named float arrays; `None` where there are none of this name.
    fn weights(&mut self, name: &str) -> Option<NamedWeights>;

    /// A list of integers below a bound; `None` where there is none of this name.
    fn integers(&mut self, name: &str) -> Option<(Vec<u32>, usize)>;
}
