//! Weights by name, and the files other programs keep them in.
//!
//! [`export`] writes a network as safetensors, as a `state_dict` of the original PyTorch code, as ONNX, or as
//! a record of Burn. [`PytorchCheckpoint`] reads checkpoints of the original code: nothing in a file is
//! executed, and what a file can make the reader allocate is bounded before it is read. The names a family
//! has in other programs are its key map, such as [`pytorch_parameters`].

pub(crate) mod array;
mod burnpack;
pub(crate) mod error;
pub(crate) mod export;
pub(crate) mod named;
mod pytorch;
mod safetensors;
pub(crate) mod state_dict;

pub use crate::convnet::keys::{PytorchParameter, pytorch_head, pytorch_parameters};
pub use array::transpose;
pub use error::WeightsError;
pub use export::{ExportFormat, ExportedNetwork, export};
pub use pytorch::{PytorchCheckpoint, PytorchOptimizer};
