//! DeepCluster networks in the formats of other programs.
//!
//! [`pytorch::PytorchCheckpoint`] reads checkpoints of the original code. [`pytorch_parameters`] pairs the weights of a network here with their names in the original code.

mod error;
mod parameter_names;
pub mod pytorch;

pub use error::InterchangeError;
pub use parameter_names::{PytorchParameter, pytorch_head, pytorch_parameters, transpose};
