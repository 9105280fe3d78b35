//! Tables and charts as files.

use std::io::Write;
use std::path::{Path, PathBuf};

use deepcluster_files::create_folder;
use deepcluster_plots::LineChart;

use crate::error::TransferError;

/// Writes a file through a temporary one in its folder, which is made where it does not exist.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TransferError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    create_folder(folder).map_err(TransferError::io("create", folder))?;
    deepcluster_files::write_whole(path, |writer| writer.write_all(bytes))
        .map_err(TransferError::io("write", path))
}

/// Writes `rows`, the first of them the header, to the CSV file `table` of a folder, and each chart as SVG and PNG under
/// its name. Gives the files.
pub(crate) fn write_table_and_charts(
    folder: &Path,
    table: &str,
    rows: &[Vec<String>],
    charts: &[(&'static str, LineChart)],
) -> Result<Vec<PathBuf>, TransferError> {
    let path = folder.join(table);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = rows.iter().try_for_each(|row| writer.write_record(row)).map_err(std::io::Error::from);
    let bytes = written.and_then(|()| writer.into_inner().map_err(|error| error.into_error()));
    write_whole(&path, &bytes.map_err(TransferError::io("write", &path))?)?;
    let mut files = vec![path];
    for (name, chart) in charts {
        for extension in ["svg", "png"] {
            let path = folder.join(format!("{name}.{extension}"));
            chart.save(&path)?;
            files.push(path);
        }
    }
    Ok(files)
}

/// A number in a table, or nothing.
pub(crate) fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
