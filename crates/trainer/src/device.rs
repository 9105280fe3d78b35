//! Choosing the device a run works on. No other part of the library names a backend.

use burn::tensor::Device;

use crate::error::TrainerError;

/// The devices this build can be asked for, as [`parse_device`] takes them.
pub fn device_names() -> Vec<&'static str> {
    let mut names = vec!["auto"];
    if cfg!(feature = "flex") {
        names.push("cpu");
    }
    if cfg!(feature = "cuda") {
        names.push("cuda:N");
    }
    if cfg!(feature = "metal") {
        names.push("metal");
    }
    if cfg!(feature = "vulkan") {
        names.push("vulkan");
    }
    if cfg!(feature = "wgpu") {
        names.push("wgpu");
    }
    names
}

/// The device of a name: `cpu`, `cuda:0`, `metal`, `vulkan`, `wgpu`, or `auto` for the first of CUDA, Metal, Vulkan,
/// wgpu and CPU that is compiled in.
///
/// # Errors
/// [`TrainerError::NoDevice`] with what this build offers.
pub fn parse_device(name: &str) -> Result<Device, TrainerError> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let unavailable = |reason: String| TrainerError::NoDevice { name: name.to_string(), reason };
    let index: usize =
        index.parse().map_err(|_| unavailable("the part after ':' is no number".to_string()))?;
    compiled_device(kind, index).ok_or_else(|| {
        let known = ["auto", "cpu", "cuda", "metal", "vulkan", "wgpu"];
        let reason = if known.contains(&kind) {
            format!(
                "this program was built without it (cargo feature '{}')",
                if kind == "cpu" { "flex" } else { kind }
            )
        } else {
            "no such device".to_string()
        };
        unavailable(format!("{reason}; this build offers {}", device_names().join(", ")))
    })
}

/// Every arm is compiled in by its cargo feature.
#[allow(unused_variables, reason = "which arguments are used depends on the features")]
fn compiled_device(kind: &str, index: usize) -> Option<Device> {
    match kind {
        #[cfg(feature = "cuda")]
        "cuda" | "auto" => Some(Device::cuda(index)),
        #[cfg(all(feature = "metal", not(feature = "cuda")))]
        "auto" => Some(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(all(feature = "vulkan", not(any(feature = "cuda", feature = "metal"))))]
        "auto" => Some(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(all(feature = "wgpu", not(any(feature = "cuda", feature = "metal", feature = "vulkan"))))]
        "auto" => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "metal")]
        "metal" => Some(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "flex")]
        "cpu" | "auto" => Some(Device::flex()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_missing_devices_are_refused_with_what_there_is() {
        for name in ["gpu", "cuda:x", "", "vulkan-is-not-a-name"] {
            let error = parse_device(name).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_cpu_is_there() {
        assert!(parse_device("cpu").is_ok());
        assert!(device_names().contains(&"cpu"));
    }
}
