//! State of an objective on its way to a checkpoint and back.

use deepcluster_models::NamedWeights;

use crate::error::EngineError;

/// Takes the parts of a state, one after the other, so that no more than one is copied from the device at a
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

/// Gives the parts of a state back by their names; each can be taken once. They may come from a damaged file.
pub trait StateReader {
    /// Named float arrays; `None` where there are none of this name.
    fn weights(&mut self, name: &str) -> Option<NamedWeights>;

    /// A list of integers below a bound; `None` where there is none of this name.
    fn integers(&mut self, name: &str) -> Option<(Vec<u32>, usize)>;
}
