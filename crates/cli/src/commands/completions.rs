//! `deepcluster completions`

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;

pub(crate) fn run(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "deepcluster", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(())
}
