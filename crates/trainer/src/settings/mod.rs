//! The settings of a run: one schema, and everything that follows from it.

pub(crate) mod changes;
pub(crate) mod clustering;
pub(crate) mod config;
pub(crate) mod file;
mod format_1;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod overrides;
#[cfg(test)]
mod page;
pub(crate) mod schema;
pub(crate) mod validate;
mod value;
