//! Everything a run writes to disk, in order of creation.

pub(crate) mod any;
pub(crate) mod begin;
pub(crate) mod checkpoint;
pub(crate) mod digest;
pub(crate) mod directory;
pub(crate) mod files;
pub(crate) mod import;
pub(crate) mod layout;
pub(crate) mod log;
pub(crate) mod results;
pub(crate) mod resume;
pub(crate) mod saved_model;
pub(crate) mod tables;
pub(crate) mod tensor_file;
pub(crate) mod tensorboard;
pub(crate) mod unbegun;
