//! `deepcluster devices`

use deepcluster::trainer::{DeviceInfo, available_devices, device_kinds};
use serde_json::json;

use crate::arguments::Output;
use crate::stdout::{print_json, print_out};

pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    let devices = available_devices();
    if output.json {
        let describe = |info: &DeviceInfo| {
            json!({
                "name": info.name,
                "description": info.description,
                "memory_bytes": info.memory,
                "software": info.is_software,
            })
        };
        let devices: Vec<_> = devices.iter().map(describe).collect();
        print_json(&json!({"devices": devices, "built_for": device_kinds()}));
    } else {
        devices.iter().for_each(|info| print_out(&line(info)));
    }
    Ok(())
}

/// The name, and what is known of the device.
fn line(info: &DeviceInfo) -> String {
    let mut notes = Vec::new();
    if !info.description.is_empty() {
        notes.push(info.description.clone());
    }
    if let Some(memory) = info.memory {
        notes.push(format!("{:.1} GiB", memory as f64 / (1_u64 << 30) as f64));
    }
    if info.is_software {
        notes.push("software, slower than cpu".to_string());
    }
    if notes.is_empty() { info.name.clone() } else { format!("{}\t{}", info.name, notes.join(", ")) }
}
