//! What an epoch measured, as event files of TensorBoard.

mod event_file;
mod messages;
mod summaries;

pub(crate) use event_file::{EventFile, History};
