//! Tables and charts as files.

use std::path::{Path, PathBuf};

use deepcluster_files::{Replaceable, ResultFolder};

use super::line_chart::LineChart;
use crate::error::ReportError;

/// Writes `rows`, the first of them the header, to the CSV file `table` of a folder, and each chart as SVG
/// and PNG under its name, in place of files that `replaceable` allows to replace. Returns the files.
pub(super) fn write_table_and_charts(
    folder: &Path,
    replaceable: Replaceable,
    table: &str,
    rows: &[Vec<String>],
    charts: &[(&'static str, LineChart)],
) -> Result<Vec<PathBuf>, ReportError> {
    let failed = || ReportError::io("write", folder);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = rows.iter().try_for_each(|row| writer.write_record(row)).map_err(std::io::Error::from);
    let bytes = written.and_then(|()| writer.into_inner().map_err(|error| error.into_error()));
    let mut files = vec![(table.to_string(), bytes.map_err(failed())?)];
    for (name, chart) in charts {
        files.push((format!("{name}.svg"), chart.to_svg()?.into_bytes()));
        files.push((format!("{name}.png"), chart.to_png()?));
    }
    let mut results = ResultFolder::new(folder, replaceable);
    files.iter().try_for_each(|(name, bytes)| results.stage(name, bytes)).map_err(failed())?;
    results.publish(|_| false).map_err(failed())?;
    Ok(files.into_iter().map(|(name, _)| folder.join(name)).collect())
}

/// A number in a table; empty for `None`.
pub(super) fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
