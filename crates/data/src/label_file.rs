//! Labels from a CSV file.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};

use crate::error::DataError;
use crate::labels::Labels;

/// Reads the CSV file at `path` and looks up the images `relative_paths` of `root` in it.
///
/// `None` if rows name images but none of these has a label.
///
/// # Errors
/// [`DataError::Io`], [`DataError::MalformedLabels`], [`DataError::DuplicateLabel`] and
/// [`DataError::LabelsMatchNothing`].
pub(crate) fn labels_of_file(
    path: &Path,
    root: &Path,
    relative_paths: &[PathBuf],
) -> Result<Option<Labels>, DataError> {
    let file = File::open(path).map_err(|source| DataError::io("open", path, source))?;
    let known: HashMap<&Path, usize> =
        relative_paths.iter().enumerate().map(|(index, path)| (path.as_path(), index)).collect();
    let canonical_root = fs::canonicalize(root).unwrap_or_else(|_| root.into());
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut record = ByteRecord::new();
    let mut names: Vec<Option<String>> = vec![None; relative_paths.len()];
    let mut seen: HashSet<PathBuf> = HashSet::new();
    let mut num_rows = 0;
    let mut num_matches = 0;
    let mut header_seen = false;
    while read_record(&mut reader, &mut record, path)? {
        let line = record.position().map_or(0, csv::Position::line);
        let malformed = |reason| DataError::MalformedLabels { path: path.into(), line, reason };
        if !header_seen {
            check_header(&record).map_err(malformed)?;
            header_seen = true;
            continue;
        }
        let (image, name) = parse_row(&record).map_err(malformed)?;
        num_rows += 1;
        let image = relative_to(&image, root, &canonical_root);
        if let Some(&index) = known.get(image.as_path()) {
            names[index] = name;
            num_matches += 1;
        }
        if let Some(image) = seen.replace(image) {
            return Err(DataError::DuplicateLabel { path: path.into(), line, image });
        }
    }
    if !header_seen {
        return Err(DataError::MalformedLabels {
            path: path.into(),
            line: 1,
            reason: "the file is empty".into(),
        });
    }
    if num_matches == 0 {
        return Err(DataError::LabelsMatchNothing { path: path.into(), root: root.into(), num_rows });
    }
    if num_matches < num_rows {
        let num_others = num_rows - num_matches;
        log::warn!("{num_others} of {num_rows} rows of {} name no image of the folder", path.display());
    }
    let labels = Labels::from_names(&names);
    Ok((!labels.names.is_empty()).then_some(labels))
}

fn read_record(
    reader: &mut csv::Reader<File>,
    record: &mut ByteRecord,
    path: &Path,
) -> Result<bool, DataError> {
    reader.read_byte_record(record).map_err(|error| {
        let line = error.position().map_or(0, csv::Position::line);
        match error.into_kind() {
            csv::ErrorKind::Io(source) => DataError::io("read", path, source),
            other => DataError::MalformedLabels { path: path.into(), line, reason: format!("{other:?}") },
        }
    })
}

fn check_header(record: &ByteRecord) -> Result<(), String> {
    let fields: Vec<&[u8]> = record.iter().map(<[u8]>::trim_ascii).collect();
    if fields == [b"path".as_slice(), b"label".as_slice()] {
        return Ok(());
    }
    Err(format!("the header is `{}`", String::from_utf8_lossy(&fields.join(&b','))))
}

/// Path and label of a row; an empty label is none.
fn parse_row(record: &ByteRecord) -> Result<(PathBuf, Option<String>), String> {
    let (Some(path), Some(label), 2) = (record.get(0), record.get(1), record.len()) else {
        return Err(format!("{} fields instead of 2 (quote a path that holds a comma)", record.len()));
    };
    if path.is_empty() {
        return Err("the path is empty".into());
    }
    let label = str::from_utf8(label).map_err(|_| String::from("the label is not UTF-8"))?.trim();
    Ok((path_from_bytes(path)?, (!label.is_empty()).then(|| label.to_owned())))
}

/// The path below the root, without `.`; paths elsewhere stay as they are.
fn relative_to(path: &Path, root: &Path, canonical_root: &Path) -> PathBuf {
    let below = path.strip_prefix(root).or_else(|_| path.strip_prefix(canonical_root));
    let below = if path.is_absolute() { below.unwrap_or(path) } else { path };
    below.components().filter(|component| *component != Component::CurDir).collect()
}

#[cfg(unix)]
fn path_from_bytes(bytes: &[u8]) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: &[u8]) -> Result<PathBuf, String> {
    str::from_utf8(bytes).map(PathBuf::from).map_err(|_| "the path is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of the images `a/1.png`, `a/2.png` and `3,4.png` of the folder `root` from a file of this content.
    fn labels(content: &str) -> Result<Option<Labels>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        fs::write(&path, content.replace("ROOT", &folder.path().to_string_lossy())).unwrap();
        let images = ["a/1.png", "a/2.png", "3,4.png"].map(PathBuf::from);
        labels_of_file(&path, folder.path(), &images)
    }

    #[test]
    fn paths_may_be_relative_absolute_or_quoted() {
        let content = "\u{feff}path,label\r\n./a/1.png,dog\r\nROOT/a/2.png,cat\r\n\"3,4.png\",\r\nelsewhere.png,cow\r\n";
        let labels = labels(content).unwrap().unwrap();
        assert_eq!(labels.names, ["cat", "dog"]);
        assert_eq!(labels.of_image, [Some(1), Some(0), None]);
    }

    #[test]
    fn a_file_without_labels_gives_none() {
        assert_eq!(labels("path,label\na/1.png,\n").unwrap(), None);
    }

    #[test]
    fn malformed_lines_are_named() {
        let cases = [
            ("", 1, "empty"),
            ("file,class\na/1.png,x\n", 1, "`file,class`"),
            ("path,label\na/1.png,x\n3,4.png,x\n", 3, "3 fields"),
            ("path,label\na/1.png\n", 2, "1 fields"),
            ("path,label\n,x\n", 2, "path is empty"),
        ];
        for (content, expected_line, expected_reason) in cases {
            let error = labels(content).unwrap_err();
            let DataError::MalformedLabels { line, reason, .. } = &error else { panic!("{error}") };
            assert_eq!(*line, expected_line, "{content}");
            assert!(reason.contains(expected_reason), "{reason}");
        }
    }

    #[test]
    fn an_image_named_twice_is_an_error() {
        let error = labels("path,label\na/1.png,x\n./a/1.png,x\n").unwrap_err();
        assert!(matches!(error, DataError::DuplicateLabel { line: 3, .. }), "{error}");
    }

    #[test]
    fn a_file_about_other_images_is_an_error() {
        let error = labels("path,label\nb/1.png,x\n/a/1.png,x\n").unwrap_err();
        assert!(matches!(error, DataError::LabelsMatchNothing { num_rows: 2, .. }), "{error}");
    }
}
