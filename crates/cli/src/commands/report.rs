//! `deepcluster report`

use deepcluster::report::{ReportConfig, RunContents, write_report};
use deepcluster::trainer::RunDirectory;
use serde_json::json;

use crate::arguments::{Output, Report};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::{print_json, print_out};

pub(crate) fn run(command: Report, output: Output) -> anyhow::Result<()> {
    let config = ReportConfig {
        title: command.title,
        thumbnail_size: command.thumbnail_size,
        embed_bytes: command.embed_mib.saturating_mul(1 << 20),
        with_tsne: !command.no_tsne,
        replaceable: command.replacing.in_folder(command.out.as_ref()),
    };
    config.validate()?;
    let contents = RunContents::read(&RunDirectory::open(&command.run)?)?;
    let folder = command.out.unwrap_or_else(|| command.run.join("report"));
    let mut progress = Progress::new(output, stop_flag()?);
    let written = write_report(&contents, &folder, &config, &mut progress)?;
    progress.clear();
    for sentence in &written.summary {
        progress.say(sentence);
    }
    if written.has_files_beside {
        progress.say("The folder thumbnails beside the page belongs to it.");
    }
    if output.json {
        print_json(&json!({
            "page": written.page.to_string_lossy(),
            "summary": written.summary,
            "has_files_beside": written.has_files_beside,
        }));
    } else {
        print_out(&written.page.to_string_lossy());
    }
    Ok(())
}
