//! Limits of a device.

use burn::tensor::Device;

/// Limits of a device that is not the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLimits {
    /// Bytes of its memory, where it tells.
    pub memory: Option<u64>,
    /// Most bytes of one tensor.
    pub largest_tensor: u64,
    /// Whether matrix products may round their `f32` factors to 11 bits (TF32), as the matrix units of NVIDIA
    /// do.
    pub has_tf32: bool,
}

/// Bytes of its memory that this program has taken of `device`. Asks the device, unlike [`device_limits`],
/// which costs next to nothing.
pub fn device_memory_in_use(device: &Device) -> u64 {
    device.memory_pool_usage().map_or(0, |usage| usage.bytes_reserved)
}

/// The limits of `device`; `None` for the host.
pub fn device_limits(device: &Device) -> Option<DeviceLimits> {
    limits_of_cube(device)
}

#[cfg(feature = "gpu")]
fn limits_of_cube(device: &Device) -> Option<DeviceLimits> {
    use burn::backend::DispatchDevice;
    use cubecl::ir::{ElemType, FloatKind};

    let device = device.clone().without_autodiff();
    // With a single backend compiled in there is no other case.
    #[allow(irrefutable_let_patterns, reason = "it depends on the features")]
    let DispatchDevice::Cube(cube) = device.as_dispatch() else { return None };
    let client = cube.client();
    let properties = client.properties();
    let tf32 = ElemType::Float(FloatKind::TF32);
    let matmul = &properties.features.matmul;
    Some(DeviceLimits {
        memory: properties.memory.max_memory(),
        largest_tensor: properties.memory.max_page_size,
        has_tf32: matmul.cmma.iter().chain(&matmul.mma).any(|config| config.a_type == tf32),
    })
}

#[cfg(not(feature = "gpu"))]
fn limits_of_cube(_device: &Device) -> Option<DeviceLimits> {
    None
}
