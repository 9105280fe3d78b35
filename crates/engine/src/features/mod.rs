//! Features of images: computed in passes, kept on the host or on a device.

mod device;
mod extract;
mod store;

pub use device::{DeviceFeatures, Room};
pub use extract::{
    ExtractedFeatures, FeatureBatch, GatheredFeatures, extract, extract_batches, gather_features,
};
