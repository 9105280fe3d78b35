//! `deepcluster devices`

use deepcluster::trainer::device_names;
use serde_json::json;

use crate::arguments::Output;
use crate::progress::{print_json, print_out};

pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    if output.json {
        print_json(&json!({"devices": device_names()}));
    } else {
        device_names().iter().for_each(|name| print_out(name));
    }
    Ok(())
}
