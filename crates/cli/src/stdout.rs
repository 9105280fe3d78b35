//! Standard output: results for programs.
//!
//! When a reader such as `head` closes the pipe, nothing more is written and the command continues: a long
//! training must not stop because nobody reads its output. Any other failure, such as a full disk, is kept
//! for the end of the command.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::terminal::escaped;

/// The state of standard output.
static STATE: Mutex<State> = Mutex::new(State::Open);

enum State {
    Open,
    Closed,
    Failed(io::Error),
}

/// One line or several. On a terminal, names of files cannot steer it.
pub(crate) fn print_out(text: &str) {
    if io::stdout().is_terminal() {
        text.split('\n').for_each(|line| print_with(|writer| writeln!(writer, "{}", escaped(line))));
    } else {
        print_with(|writer| writeln!(writer, "{text}"));
    }
}

/// A JSON line.
pub(crate) fn print_json(value: &Value) {
    // Not escaped on a terminal: JSON escapes control characters itself.
    print_with(|writer| writeln!(writer, "{value}"));
}

/// Whatever `write` writes.
pub(crate) fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, State::Open)
        && let Err(error) = write(&mut io::stdout().lock())
    {
        *state = State::after(error);
    }
}

/// Writes what is left.
///
/// # Errors
/// The first failure of all writes, except a closed pipe.
pub(crate) fn finish() -> io::Result<()> {
    print_with(|writer| writer.flush());
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    match std::mem::replace(&mut *state, State::Closed) {
        State::Failed(error) => Err(error),
        State::Open | State::Closed => Ok(()),
    }
}

impl State {
    fn after(error: io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        log::warn!("standard output cannot be written ({error}); continuing without it");
        Self::Failed(error)
    }
}
