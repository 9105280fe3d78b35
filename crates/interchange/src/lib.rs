//! DeepCluster networks in the formats of other programs.
//!
//! [`pytorch_parameters`] pairs the weights of a network here with their names in the original code.

mod parameter_names;

pub use parameter_names::{PytorchParameter, pytorch_head, pytorch_parameters, transpose};
