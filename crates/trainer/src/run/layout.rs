//! Names in the folder of a run.

pub(crate) const RUN_FILE: &str = "run.json";
pub(crate) const CONFIG_FILE: &str = "config.toml";
pub(crate) const LOCK: &str = "lock";
pub(crate) const CHECKPOINTS: &str = "checkpoints";
