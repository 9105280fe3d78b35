//! The settings of a run: their fields and defaults, their ranges, and how they are written.

pub(crate) mod changes;
pub(crate) mod config;
pub(crate) mod file;
pub(crate) mod ranges;
