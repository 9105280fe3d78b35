//! Which columns of a label file hold paths and labels, told by their names.

use csv::{ByteRecord, ReaderBuilder};

/// Names of columns of paths, in lower case with `_` for spaces and hyphens.
const PATH_NAMES: [&str; 18] = [
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "relative_path",
    "rel_path",
    "image",
    "images",
    "image_path",
    "imagepath",
    "image_name",
    "image_file",
    "img",
    "img_path",
    "name",
    "picture",
];

/// Names of columns of labels, in the same form.
const LABEL_NAMES: [&str; 16] = [
    "label",
    "labels",
    "class",
    "classes",
    "class_name",
    "classname",
    "class_label",
    "label_name",
    "category",
    "categories",
    "category_name",
    "target",
    "tag",
    "species",
    "kind",
    "type",
];

/// Separators of the fields of a row.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Most characters of a header that are repeated in a message.
const MAX_SHOWN: usize = 120;

/// How the rows of a label file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) delimiter: u8,
    /// Number of columns.
    pub(crate) num_fields: usize,
    /// Column of the paths.
    pub(crate) path: usize,
    /// Column of the labels.
    pub(crate) label: usize,
}

impl Columns {
    /// Reads the header at the start of a file. A column `path` and a column `label` are those whatever else
    /// there is; so is the only column with another name for paths, and for labels. Of two columns one name
    /// is enough.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn detect(start: &[u8]) -> Result<Self, String> {
        if start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") {
            return Err("the file is UTF-16: save it as CSV in UTF-8".into());
        }
        let headers = DELIMITERS.map(|delimiter| (delimiter, header(start, delimiter)));
        if headers[0].1.is_empty() {
            return Err("the file is empty".into());
        }
        // A delimiter by which both columns have their names is more certain than one by which one of two
        // has.
        let by_both = headers.iter().find_map(|(delimiter, names)| by_both_names(*delimiter, names));
        let by_one = || headers.iter().find_map(|(delimiter, names)| by_one_name(*delimiter, names));
        by_both.or_else(by_one).ok_or_else(|| {
            let text = String::from_utf8_lossy(start);
            let line =
                text.trim_start_matches('\u{feff}').split(['\r', '\n']).find(|line| !line.trim().is_empty());
            let line: String = line.unwrap_or_default().trim().chars().take(MAX_SHOWN).collect();
            format!("the header is `{line}`")
        })
    }
}

/// The names of the columns in the form of the lists above.
fn header(start: &[u8], delimiter: u8) -> Vec<String> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(start);
    let mut record = ByteRecord::new();
    // Reading from memory has no other failure than the end.
    if !reader.read_byte_record(&mut record).unwrap_or(false) {
        return Vec::new();
    }
    let name = |field: &[u8]| String::from_utf8_lossy(field).trim().to_lowercase().replace([' ', '-'], "_");
    record.iter().map(name).collect()
}

fn by_both_names(delimiter: u8, names: &[String]) -> Option<Columns> {
    let (path, label) = (column(names, "path", &PATH_NAMES)?, column(names, "label", &LABEL_NAMES)?);
    Some(Columns { delimiter, num_fields: names.len(), path, label })
}

fn by_one_name(delimiter: u8, names: &[String]) -> Option<Columns> {
    let [_, _] = names else { return None };
    let (path, label) = match (column(names, "path", &PATH_NAMES), column(names, "label", &LABEL_NAMES)) {
        (Some(path), None) => (path, 1 - path),
        (None, Some(label)) => (1 - label, label),
        _ => return None,
    };
    // A file without a header may begin with an image of a class that is called `type`.
    let is_free = |name: &str| {
        !PATH_NAMES.contains(&name) && !LABEL_NAMES.contains(&name) && !name.contains(['.', '/', '\\'])
    };
    let num_free = names.iter().filter(|name| is_free(name)).count();
    (num_free == 1).then_some(Columns { delimiter, num_fields: 2, path, label })
}

/// The only column named `first`, otherwise the only one with a name of the list.
fn column(names: &[String], first: &str, list: &[&str]) -> Option<usize> {
    let only = |is_meant: &dyn Fn(&str) -> bool| {
        let mut found = (0..names.len()).filter(|&column| is_meant(&names[column]));
        found.next().filter(|_| found.next().is_none())
    };
    only(&|name| name == first).or_else(|| only(&|name| list.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delimiter, columns of path and label, and their number.
    fn columns(header: &str) -> Option<(char, usize, usize, usize)> {
        let Columns { delimiter, num_fields, path, label } = Columns::detect(header.as_bytes()).ok()?;
        Some((delimiter.into(), path, label, num_fields))
    }

    #[test]
    fn names_and_delimiters_are_told_apart() {
        let cases = [
            ("path,label", (',', 0, 1, 2)),
            ("\u{feff}path,label\r\na,b", (',', 0, 1, 2)),
            ("label;path\r1;a.png", (';', 1, 0, 2)),
            ("\n\nFile Name\tClass\nx\ty", ('\t', 0, 1, 2)),
            ("\"image\";\"category\"\n", (';', 0, 1, 2)),
            ("image|target", ('|', 0, 1, 2)),
            ("id,filename,width,height,label", (',', 1, 4, 5)),
            // The names of our own files come first.
            ("name,path,class,label", (',', 1, 3, 4)),
            ("img-path,breed", (',', 0, 1, 2)),
            ("id_code,Label", (',', 0, 1, 2)),
            ("path;my, own label", (';', 0, 1, 2)),
        ];
        for (header, expected) in cases {
            assert_eq!(columns(header), Some(expected), "{header}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let refused = [
            "image,name,label",
            "path,class,category",
            "photo,sort",
            "file,path",
            "label,class",
            "label",
            "a/1.png,type",
        ];
        for header in refused {
            assert_eq!(Columns::detect(header.as_bytes()), Err(format!("the header is `{header}`")));
        }
        assert_eq!(Columns::detect(b"\n \n"), Err("the header is ``".into()));
        assert!(Columns::detect(b"").unwrap_err().contains("empty"));
        assert!(Columns::detect(b"\xFF\xFEp\0a\0t\0h\0").unwrap_err().contains("UTF-16"));
        let long = Columns::detect(&[b'x'; 9999]).unwrap_err();
        assert!(long.len() < 200, "{long}");
    }
}
