//! DeepCluster networks in the formats of other programs.
//!
//! [`pytorch::PytorchCheckpoint`] reads checkpoints of the original code. [`export`] writes a network as
//! safetensors, as a `state_dict` of the original PyTorch code, as ONNX, or as a record of Burn,
//! [`ParquetWriter`] features. [`pytorch_parameters`] pairs the weights of a network here with their names in
//! the original code.

mod error;
mod export;
mod parameter_names;
mod parquet_writer;
pub mod pytorch;
mod weight_shapes;

pub use error::InterchangeError;
pub use export::{ExportFormat, ExportedNetwork, export};
pub use parameter_names::{PytorchParameter, pytorch_head, pytorch_parameters, transpose};
pub use parquet_writer::ParquetWriter;
