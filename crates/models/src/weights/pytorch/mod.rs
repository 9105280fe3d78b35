//! Checkpoints of the original code: `.pth.tar` files written by `torch.save`.
//!
//! The containers and their pickles are read by the `pytorch-reader` crate, which executes nothing and reads
//! a tensor only when asked. Before it sees a pickle, a guard bounds how much memory it can make of it.

mod checkpoint;
mod guard;
mod network_shape;
mod tensors;

pub use checkpoint::{PytorchCheckpoint, PytorchOptimizer};
