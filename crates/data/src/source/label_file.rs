//! Labels from a CSV file.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};

use crate::error::DataError;
use crate::source::label_columns::Columns;
use crate::source::labels::Labels;

/// Most bytes from the start that are looked at for the header.
const MAX_HEADER_BYTES: u64 = 1 << 16;
/// Most bytes of one row; a quote that is never closed makes one row of all that follow.
const MAX_ROW_BYTES: u64 = 1 << 20;

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
    let mut file = File::open(path).map_err(|source| DataError::io("open", path, source))?;
    let mut start = Vec::new();
    let read = (&mut file).take(MAX_HEADER_BYTES).read_to_end(&mut start);
    read.map_err(|source| DataError::io("read", path, source))?;
    let columns = Columns::detect(&start).map_err(|reason| DataError::MalformedLabels {
        path: path.into(),
        line: 1,
        reason,
    })?;

    let known: HashMap<&Path, usize> =
        relative_paths.iter().enumerate().map(|(index, path)| (path.as_path(), index)).collect();
    let canonical_root = fs::canonicalize(root).unwrap_or_else(|_| root.into());
    let left = Cell::new(MAX_ROW_BYTES);
    let mut reader = ReaderBuilder::new()
        .delimiter(columns.delimiter)
        .flexible(true)
        .from_reader(Bounded { inner: start.chain(file), left: &left });
    let mut record = ByteRecord::new();
    let mut names: Vec<Option<String>> = vec![None; relative_paths.len()];
    let mut seen: HashSet<PathBuf> = HashSet::new();
    let mut num_rows = 0;
    let mut num_matches = 0;
    while read_record(&mut reader, &mut record, path)? {
        left.set(MAX_ROW_BYTES);
        let line = record.position().map_or(0, csv::Position::line);
        let (image, name) = parse_row(&record, &columns).map_err(|reason| DataError::MalformedLabels {
            path: path.into(),
            line,
            reason,
        })?;
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

/// A reader that fails after `left` bytes.
struct Bounded<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let Some(left) = self.left.get().checked_sub(length as u64) else {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                "the row has no end: is a quote not closed?",
            ));
        };
        self.left.set(left);
        Ok(length)
    }
}

/// The next row; `false` where there is none.
fn read_record(
    reader: &mut csv::Reader<impl Read>,
    record: &mut ByteRecord,
    path: &Path,
) -> Result<bool, DataError> {
    let line = reader.position().line();
    reader.read_byte_record(record).map_err(|error| {
        let malformed = |reason| DataError::MalformedLabels { path: path.into(), line, reason };
        match error.into_kind() {
            csv::ErrorKind::Io(source) if source.kind() == ErrorKind::FileTooLarge => {
                malformed(source.to_string())
            }
            csv::ErrorKind::Io(source) => DataError::io("read", path, source),
            other => malformed(format!("{other:?}")),
        }
    })
}

/// Path and label of a row; an empty label is none.
fn parse_row(record: &ByteRecord, columns: &Columns) -> Result<(PathBuf, Option<String>), String> {
    let fields = (record.get(columns.path), record.get(columns.label));
    let ((Some(path), Some(label)), true) = (fields, record.len() == columns.num_fields) else {
        let delimiter = char::from(columns.delimiter).escape_default();
        return Err(format!(
            "{} fields instead of {} (quote what holds a `{delimiter}`)",
            record.len(),
            columns.num_fields
        ));
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

    /// Labels of the images `a/1.png`, `a/2.png` and `3,4.png` of the folder `root` from a file of this
    /// content.
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
    fn other_names_delimiters_and_columns_give_the_same_labels() {
        let expected = labels("path,label\na/1.png,dog\na/2.png,cat\n").unwrap();
        let same = [
            "label;path\ndog;a/1.png\ncat;a/2.png\n",
            "file\tclass\r\na/1.png\tdog\r\na/2.png\tcat\r\n",
            "\u{feff}\"Image\",\"Category\"\n\"a/1.png\",\"dog\"\n\"a/2.png\",\"cat\"\n",
            "id,filename,width,label\n1,a/1.png,64,dog\n2,a/2.png,32,cat\n",
            "\nname,target\ra/1.png,dog\ra/2.png,cat\r",
            "image|breed\na/1.png|dog\na/2.png|cat",
        ];
        for content in same {
            assert_eq!(labels(content).unwrap(), expected, "{content}");
        }
    }

    #[test]
    fn a_row_without_end_is_not_read_to_the_end() {
        let content = format!("path,label\na/1.png,dog\n\"{}", "b\n".repeat(2 << 20));
        let error = labels(&content).unwrap_err().to_string();
        assert!(error.contains("line 3: the row has no end"), "{error}");
        let long = format!("path,label\na/1.png,{}\na/2.png,cat\n", "x".repeat(1 << 19));
        assert_eq!(labels(&long).unwrap().unwrap().names.len(), 2);
    }

    /// An endless file is rejected at its first row.
    #[cfg(unix)]
    #[test]
    fn a_device_is_no_label_file() {
        let error = labels_of_file(Path::new("/dev/zero"), Path::new("."), &["a.png".into()]).unwrap_err();
        assert!(matches!(error, DataError::MalformedLabels { line: 1, .. }), "{error}");
    }

    #[test]
    fn a_file_without_labels_gives_none() {
        assert_eq!(labels("path,label\na/1.png,\n").unwrap(), None);
    }

    #[test]
    fn malformed_lines_are_named() {
        let cases = [
            ("", 1, "empty"),
            ("photo,sort\na/1.png,x\n", 1, "`photo,sort`"),
            ("a/1.png,x\na/2.png,y\n", 1, "`a/1.png,x`"),
            ("path,label\na/1.png,x\n3,4.png,x\n", 3, "3 fields"),
            ("path,label\na/1.png\n", 2, "1 fields"),
            ("path,label,size\na/1.png,x,7\na/2.png,x\n", 3, "2 fields instead of 3"),
            ("path;label\na/1.png,x\n", 2, "1 fields instead of 2"),
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
