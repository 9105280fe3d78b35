//! Panics of decoders, which damaged files bring about, become errors and print nothing.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// The reason for a file whose decoder panicked.
const PANIC_REASON: &str = "its content is damaged in a way that its decoder was not made for";

thread_local! {
    /// How many guarded calls this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs a decoder, turning a panic inside it into an error; the panic is not printed.
pub(crate) fn catch_decoder_panic<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    install_hook();
    let _inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        log::debug!("a decoder panicked: {message}");
        Err(PANIC_REASON.into())
    })
}

/// Puts a hook before the process's own, once: it is silent on threads inside of a guarded call.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                previous(information);
            }
        }));
    });
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process that panics.
    const VARIABLE: &str = "DEEPCLUSTER_TEST_PANICS";

    #[test]
    fn a_panicking_decoder_becomes_an_error() {
        let outcome = catch_decoder_panic(|| -> Result<(), String> { panic!("index 3 out of range") });
        assert_eq!(outcome.unwrap_err(), PANIC_REASON);
    }

    #[test]
    fn panics_of_decoders_print_nothing_and_all_others_do() {
        if std::env::var_os(VARIABLE).is_some() {
            let _ = catch_decoder_panic(|| -> Result<(), String> { panic!("of a decoder") });
            let _ = catch_unwind(|| panic!("of the program"));
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "decode::decoder_guard::tests::panics_of_decoders_print_nothing_and_all_others_do",
                "--exact",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env(VARIABLE, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains("of the program"), "{printed}");
        assert!(!printed.contains("of a decoder"), "{printed}");
    }
}
