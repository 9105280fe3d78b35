//! Noise as targets (Bojanowski and Joulin, *Unsupervised Learning by Predicting Noise*, ICML 2017): every
//! image has a fixed random target on the sphere, and images of a batch exchange theirs where that brings
//! them nearer.

pub(crate) mod config;
mod matching;
mod model;
mod objective;
mod targets;

pub use config::NatConfig;
pub use model::NatModel;
pub use objective::Nat;
