//! The metrics of epochs as TensorBoard event files.

mod event_file;
mod messages;
mod summaries;

pub(crate) use event_file::{EventFile, History};
