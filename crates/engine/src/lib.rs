//! Learning in memory: reads images, touches no other file, and is independent of the training method.
//!
//! - [`Objective`]: a training task; plans the epochs and computes the losses.
//! - [`Learner`]: everything that learns together, and the one step of it, alone or with others ([`Ranks`]).
//! - [`EpochSteps`]: the steps of an epoch, on one device or several.
//! - [`ImagePass`]: images through a network that does not change; [`features`] stores the results.
//! - [`parse_device`]: devices by their names; [`derive_seed`]: randomness; [`Event`] and [`Observer`]:
//!   progress.

mod device;
mod epoch;
mod error;
mod events;
pub mod features;
mod learner;
mod losses;
mod memory;
mod objective;
mod optimizer;
mod pass;
mod ranks;
mod replicas;
mod seeds;
mod state;
mod tensors;

pub use device::{DeviceInfo, available_devices, device_kinds, parse_device, parse_devices};
pub use epoch::{Course, EpochSteps, SaveState, TrainedEpoch};
pub use error::EngineError;
pub use events::{EpochOf, Event, Observer, Phase};
pub use learner::{Learner, ParamGroup, StepLoss, take_weights};
pub use losses::Losses;
pub use memory::explain_features;
pub use objective::{Batch, Epoch, EpochClusters, Objective, Place, Plan, Step};
pub use optimizer::Sgd;
pub use pass::{ImagePass, ImageReading};
pub use ranks::Ranks;
pub use seeds::{SeedUse, derive_seed};
pub use state::{StateReader, StateWriter};
pub use tensors::{host_values, images_tensor};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
