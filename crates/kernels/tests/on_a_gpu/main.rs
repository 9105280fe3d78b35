//! Operations on a GPU give what they give on the host.
//!
//! Built with a feature of GPUs; the software driver of Mesa serves where there is none.

#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say when they skip")]

mod image_values;
mod nearest_rows;
mod networks;
mod segment_sums;

use burn::tensor::{Device, DeviceType};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The first device of a kind that is built in and there; a test without one says so and passes.
fn gpu() -> Option<Device> {
    let kinds: Vec<DeviceType> = vec![
        #[cfg(feature = "cuda")]
        DeviceType::Cuda,
        #[cfg(feature = "metal")]
        DeviceType::Metal,
        #[cfg(feature = "vulkan")]
        DeviceType::Vulkan,
        #[cfg(feature = "wgpu")]
        DeviceType::Wgpu,
    ];
    let device = kinds.into_iter().find_map(|kind| Device::enumerate(kind).into_iter().next());
    if device.is_none() {
        assert!(std::env::var_os("DEEPCLUSTER_TEST_GPU").is_none(), "a GPU was promised, and there is none");
        eprintln!("skipped: there is no GPU and no software driver for one");
    }
    device
}

/// Values in `[-1, 1)`.
fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| generator.random_range(-1.0..1.0)).collect()
}
