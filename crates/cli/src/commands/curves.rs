//! `deepcluster curves`

use anyhow::bail;
use deepcluster::report::charts::write_curves;
use deepcluster::trainer::RunDirectory;
use serde_json::json;

use crate::arguments::{Curves, Output};
use crate::stdout::{print_json, print_out};

pub(crate) fn run(command: Curves, output: Output) -> anyhow::Result<()> {
    let mut runs = Vec::with_capacity(command.runs.len());
    for path in &command.runs {
        let epochs = RunDirectory::open(path)?.metrics()?;
        let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
        runs.push((name.into_owned(), epochs));
    }
    if runs.iter().all(|(_, epochs)| epochs.is_empty()) {
        bail!("these runs have not finished an epoch yet");
    }
    let replaceable = command.replacing.in_folder(command.out.as_ref());
    let out = command.out.unwrap_or_else(|| command.runs[0].join("curves"));
    let files = write_curves(&runs, &out, replaceable)?;
    if output.json {
        print_json(&json!({"files": files}));
    } else {
        files.iter().for_each(|file| print_out(&file.display().to_string()));
    }
    Ok(())
}
