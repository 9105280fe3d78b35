//! `deepcluster export`

use deepcluster::models::weights::ExportFormat;
use serde_json::json;

use crate::arguments::{Export, Output};
use crate::stdout::{print_json, print_out};
use crate::usage_error::UsageError;

pub(crate) fn run(command: Export, output: Output) -> anyhow::Result<()> {
    let format = command.format;
    let path = command.out.unwrap_or_else(|| command.run.join(format!("network.{}", format.extension())));
    // A link that leads nowhere is a file too.
    if !command.force && path.symlink_metadata().is_ok() {
        let message = format!(
            "{} exists already: replace it with --force, or name another file with --out",
            path.display()
        );
        return Err(UsageError(message).into());
    }
    let summary = deepcluster::export(&command.run, format, &path)?;
    if output.json {
        print_json(&json!({
            "path": path.to_string_lossy(),
            "format": format.name(),
            "head": summary.has_head,
            "clusters": summary.has_clusters,
        }));
        return Ok(());
    }
    if output.quiet {
        return Ok(());
    }
    print_out(&format!("{format} in {}", path.display()));
    if format == ExportFormat::PytorchSafetensors && !summary.has_head {
        print_out("the run has no head, so top_layer is left out: set top_layer = None before a strict load");
    }
    if format == ExportFormat::Onnx && !summary.has_clusters {
        print_out("the run is not finished, so the export has features but no clusters");
    }
    Ok(())
}
