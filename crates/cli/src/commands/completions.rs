//! `deepcluster completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::stdout::print_with;

pub(crate) fn run(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "deepcluster", &mut script);
    print_with(|writer| writer.write_all(&script));
    Ok(())
}
