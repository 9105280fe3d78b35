//! Choosing the device a run works on. No other part of the library names a backend.

use burn::tensor::Device;
use deepcluster_kernels::device_limits;

use crate::error::EngineError;

/// A device available to this build on this machine.
#[derive(Debug, Clone)]
pub struct DeviceInfo {
    /// Name accepted by [`parse_device`]: `cpu`, `cuda:0`, `vulkan:1`.
    pub name: String,
    /// Product name reported by the driver; may be empty.
    pub description: String,
    /// Memory in bytes, if the driver reports it.
    pub memory: Option<u64>,
    /// Whether it is a software renderer, slower than `cpu`.
    pub is_software: bool,
    device: Device,
}

/// The kinds of devices, best first; names of cargo features, but for `cpu`.
const KINDS: [&str; 5] = ["cuda", "metal", "vulkan", "wgpu", "cpu"];

/// The kinds of devices compiled into this build.
pub fn device_kinds() -> Vec<&'static str> {
    KINDS.into_iter().filter(|kind| is_compiled(kind)).collect()
}

/// The available devices of this build, best first; opens each.
pub fn available_devices() -> Vec<DeviceInfo> {
    device_kinds().into_iter().flat_map(devices_of).collect()
}

/// The device of a name: `cpu`, `cuda:0`, `metal`, `vulkan:1`, `wgpu`, where the number counts the devices of
/// a kind and is 0 if left out; or `auto` for the first GPU of CUDA, Metal, Vulkan and wgpu that is compiled
/// in and there, and for the CPU without one. Software GPUs are a last resort.
///
/// # Errors
/// [`EngineError::NoDevice`] with the available devices.
pub fn parse_device(name: &str) -> Result<Device, EngineError> {
    let unavailable = |reason: String| EngineError::NoDevice { name: name.to_string(), reason };
    if name == "auto" {
        return best_device().ok_or_else(|| unavailable(format!("nothing is there; {}", offer())));
    }
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let index: usize =
        index.parse().map_err(|_| unavailable("the part after ':' is no number".to_string()))?;
    if !KINDS.contains(&kind) {
        return Err(unavailable(format!("no such device; {}", offer())));
    }
    if !is_compiled(kind) {
        let feature = if kind == "cpu" { "flex" } else { kind };
        let reason = format!("this program was built without it (cargo feature '{feature}')");
        return Err(unavailable(format!("{reason}; {}", offer())));
    }
    let devices = devices_of(kind);
    let num_found = devices.len();
    devices.into_iter().nth(index).map(|info| info.device).ok_or_else(|| {
        let driver = match kind {
            "cuda" => "an NVIDIA GPU and its driver",
            "metal" => "macOS and a GPU",
            "cpu" => "one",
            _ => "a GPU and its Vulkan driver",
        };
        let found = match num_found {
            0 => format!("none was found: it takes {driver}"),
            1 => format!("there is one, {kind}:0"),
            _ => format!("there are {num_found}, {kind}:0 to {kind}:{}", num_found - 1),
        };
        unavailable(format!("{found}; {}", offer()))
    })
}

/// The devices of comma-separated names, which train together; everything else runs on the first.
///
/// # Errors
/// As [`parse_device`]; and if a device other than `cpu` is named twice.
pub fn parse_devices(names: &str) -> Result<Vec<Device>, EngineError> {
    let mut devices: Vec<Device> = Vec::new();
    for name in names.split(',') {
        let device = parse_device(name.trim())?;
        if device_limits(&device).is_some() && devices.contains(&device) {
            let reason = "it is named twice".to_string();
            return Err(EngineError::NoDevice { name: name.to_string(), reason });
        }
        devices.push(device);
    }
    Ok(devices)
}

fn offer() -> String {
    let names: Vec<String> = available_devices().into_iter().map(|info| info.name).collect();
    format!("this program was built for {} and finds {}", device_kinds().join(", "), names.join(", "))
}

fn best_device() -> Option<Device> {
    let mut software = None;
    for kind in device_kinds() {
        for info in devices_of(kind) {
            if !info.is_software {
                return Some(info.device);
            }
            software.get_or_insert(info.device);
        }
    }
    software
}

fn devices_of(kind: &str) -> Vec<DeviceInfo> {
    let found = found_devices(kind);
    let num_found = found.len();
    let info = |(index, device): (usize, Device)| {
        let name = if kind == "cpu" || (num_found == 1 && kind == "metal") {
            kind.to_string()
        } else {
            format!("{kind}:{index}")
        };
        // A driver that fails when a device is opened ends in a panic, which says why.
        let opened = std::panic::catch_unwind(|| (identity(&device), device_limits(&device)));
        let Ok((identity, limits)) = opened else {
            log::warn!("{name} was found, but cannot be opened");
            return None;
        };
        let (description, is_card) = identity.unwrap_or_else(|| (String::new(), true));
        let is_software = limits.is_some() && !is_card;
        let memory = limits.and_then(|limits| limits.memory);
        Some(DeviceInfo { name, description, memory, is_software, device })
    };
    found.into_iter().enumerate().filter_map(info).collect()
}

/// Whether all are GPUs of CUDA, between which Burn has collective operations.
#[cfg(feature = "cuda")]
pub(crate) fn are_cuda(devices: &[Device]) -> bool {
    let of_cuda = found_devices("cuda");
    devices.iter().all(|device| of_cuda.contains(device))
}

/// Product name of a device, and whether it is hardware; `None` for the host.
fn identity(device: &Device) -> Option<(String, bool)> {
    #[cfg(feature = "gpu")]
    return device.identity().map(|identity| (identity.name, identity.physical.is_some()));
    #[cfg(not(feature = "gpu"))]
    {
        let _ = device;
        None
    }
}

fn is_compiled(kind: &str) -> bool {
    match kind {
        "cuda" => cfg!(feature = "cuda"),
        "metal" => cfg!(feature = "metal"),
        "vulkan" => cfg!(feature = "vulkan"),
        "wgpu" => cfg!(feature = "wgpu"),
        "cpu" => cfg!(feature = "flex"),
        _ => false,
    }
}

/// Every arm is compiled in by its cargo feature.
fn found_devices(kind: &str) -> Vec<Device> {
    match kind {
        #[cfg(feature = "cuda")]
        "cuda" => Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().collect(),
        #[cfg(feature = "metal")]
        "metal" => Device::enumerate(burn::tensor::DeviceType::Metal).into_iter().collect(),
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::enumerate(burn::tensor::DeviceType::Vulkan).into_iter().collect(),
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::enumerate(burn::tensor::DeviceType::Wgpu).into_iter().collect(),
        #[cfg(feature = "flex")]
        "cpu" => vec![Device::flex()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_missing_devices_are_refused_with_what_there_is() {
        for name in ["gpu", "cuda:x", "", "vulkan-is-not-a-name", "cpu:1", "cuda:99", "vulkan:99", "metal:99"]
        {
            let error = parse_device(name).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(parse_devices("cpu,cpu:7").is_err());
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_cpu_is_there() {
        assert!(parse_device("cpu").is_ok() && parse_device("auto").is_ok());
        let devices = available_devices();
        let cpu = devices.iter().find(|info| info.name == "cpu").unwrap();
        assert!(cpu.memory.is_none() && !cpu.is_software);
        assert_eq!(parse_devices("cpu, cpu").unwrap().len(), 2);
    }

    #[test]
    fn every_device_that_is_listed_can_be_named() {
        for info in available_devices() {
            assert_eq!(parse_device(&info.name).unwrap(), info.device);
        }
    }
}
