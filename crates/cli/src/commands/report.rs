//! `deepcluster report`

use crate::arguments::{Output, Report};

pub(crate) fn run(command: Report, _output: Output) -> anyhow::Result<()> {
    anyhow::bail!("{}", command.run.display())
}
