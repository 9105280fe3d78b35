//! The program under test.

use assert_cmd::Command;

/// The program `deepcluster` of this build, quiet.
///
/// # Panics
/// If it has not been built.
pub fn program() -> Command {
    match Command::cargo_bin("deepcluster") {
        Ok(mut command) => {
            command.arg("--quiet");
            command
        }
        Err(error) => panic!("{error}"),
    }
}
