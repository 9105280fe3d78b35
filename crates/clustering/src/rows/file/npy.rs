//! The header of a `.npy` file.
//!
//! The format is described in numpy.lib.format: a magic string, a version, the length of the header, and the
//! header, a Python dictionary of the keys `descr`, `fortran_order` and `shape`. No crate reads it for us:
//! rows stay mapped, and a length in a header must not reserve memory.

use super::{FeatureFileProblem, FeatureType};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Length of the headers that are written: room for any two sizes, and data aligned as numpy aligns them.
const WRITTEN_LEN: usize = 128;

/// Shape, type and place of the numbers of a `.npy` file.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) feature_type: FeatureType,
    pub(super) shape: Vec<usize>,
    /// Bytes before the first number.
    pub(super) data_start: usize,
}

impl Header {
    /// Reads the header at the start of the file `bytes`, of version 1 to 3.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, FeatureFileProblem> {
        let after_magic = bytes.strip_prefix(MAGIC).ok_or_else(|| malformed("it has no magic string"))?;
        let (len, text_start) = match *after_magic {
            [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), MAGIC.len() + 4),
            [2 | 3, _, a, b, c, d, ..] => {
                let len = usize::try_from(u32::from_le_bytes([a, b, c, d]));
                (len.map_err(|_| malformed("its header is too long"))?, MAGIC.len() + 6)
            }
            [] | [1..=3, ..] => return Err(malformed("it ends in its header")),
            _ => return Err(malformed("its version is not 1, 2 or 3")),
        };
        let text = bytes[text_start..].get(..len).ok_or_else(|| malformed("it ends in its header"))?;
        let text = std::str::from_utf8(text).map_err(|_| malformed("its header is no text"))?;
        let (descr, shape) = read_dictionary(text)?;
        let feature_type = match descr {
            "<f4" => FeatureType::F32,
            "<f2" => FeatureType::F16,
            _ => return Err(FeatureFileProblem::DataType { found: descr.chars().take(40).collect() }),
        };
        Ok(Self { feature_type, shape, data_start: text_start + len })
    }

    /// A header of version 1 for a matrix, always of the same length.
    pub(super) fn bytes(feature_type: FeatureType, num_rows: usize, num_columns: usize) -> Vec<u8> {
        let descr = match feature_type {
            FeatureType::F32 => "<f4",
            FeatureType::F16 => "<f2",
        };
        let shape = format!("({num_rows}, {num_columns})");
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let text_len = WRITTEN_LEN - MAGIC.len() - 4;
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0, text_len as u8, 0]);
        bytes.extend(format!("{text:<width$}\n", width = text_len - 1).bytes());
        bytes
    }
}

fn malformed(detail: &'static str) -> FeatureFileProblem {
    FeatureFileProblem::NpyHeader { detail }
}

/// The values of `descr` and `shape`.
fn read_dictionary(text: &str) -> Result<(&str, Vec<usize>), FeatureFileProblem> {
    let (mut descr, mut shape, mut is_fortran) = (None, None, None);
    let mut rest = after(text, '{').ok_or_else(|| malformed("its header is no dictionary"))?;
    while after(rest, '}').is_none() {
        let (key, value) = quoted(rest)
            .and_then(|(key, rest)| Some((key, after(rest, ':')?)))
            .ok_or_else(|| malformed("its header has an entry without a key"))?;
        rest = match key {
            "descr" => {
                let found =
                    || FeatureFileProblem::DataType { found: value.trim().chars().take(40).collect() };
                let (value, rest) = quoted(value).ok_or_else(found)?;
                descr = Some(value);
                rest
            }
            "fortran_order" => {
                let (value, rest) = boolean(value).ok_or_else(|| malformed("fortran_order is no boolean"))?;
                is_fortran = Some(value);
                rest
            }
            "shape" => {
                let (value, rest) = tuple(value).ok_or_else(|| malformed("shape is no tuple of sizes"))?;
                shape = Some(value);
                rest
            }
            _ => return Err(malformed("its header has an unknown key")),
        };
        match after(rest, ',') {
            Some(next) => rest = next,
            None if after(rest, '}').is_some() => {}
            None => return Err(malformed("its header has no end")),
        }
    }
    match (descr, shape, is_fortran) {
        (Some(descr), Some(shape), Some(false)) => Ok((descr, shape)),
        (Some(_), Some(_), Some(true)) => Err(FeatureFileProblem::FortranOrder),
        _ => Err(malformed("its header lacks descr, fortran_order or shape")),
    }
}

/// The rest of `text` after `symbol`, which only spaces precede.
fn after(text: &str, symbol: char) -> Option<&str> {
    text.trim_start().strip_prefix(symbol)
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    ['\'', '"'].into_iter().find_map(|quote| after(text, quote)?.split_once(quote))
}

fn boolean(text: &str) -> Option<(bool, &str)> {
    let text = text.trim_start();
    let is = |word, value| text.strip_prefix(word).map(|rest| (value, rest));
    is("True", true).or_else(|| is("False", false))
}

/// Sizes in parentheses; one axis has a comma after it, and old versions of Python write `3L`.
fn tuple(text: &str) -> Option<(Vec<usize>, &str)> {
    let (sizes, rest) = after(text, '(')?.split_once(')')?;
    let sizes = sizes.trim();
    if sizes.is_empty() {
        return Some((Vec::new(), rest));
    }
    let sizes = sizes.strip_suffix(',').unwrap_or(sizes);
    let size = |text: &str| text.trim().trim_end_matches('L').parse().ok();
    Some((sizes.split(',').map(size).collect::<Option<_>>()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.bytes());
        bytes
    }

    #[test]
    fn headers_of_every_version_and_spelling_are_read() {
        for (version, data_start) in [(1, 10), (2, 12), (3, 12)] {
            for text in [
                "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 3), }   \n",
                "{\"shape\":(20L,3L),\"fortran_order\":False,\"descr\":\"<f4\"}",
            ] {
                let header = Header::read(&file(version, text)).unwrap();
                let data_start = data_start + text.len();
                assert_eq!(header, Header { feature_type: FeatureType::F32, shape: vec![20, 3], data_start });
            }
        }
    }

    #[test]
    fn written_headers_are_read_back_and_have_one_length() {
        for sizes in [[0, 1], [123, 45], [usize::MAX, usize::MAX]] {
            for feature_type in [FeatureType::F32, FeatureType::F16] {
                let bytes = Header::bytes(feature_type, sizes[0], sizes[1]);
                assert_eq!((bytes.len(), bytes.last()), (128, Some(&b'\n')));
                let expected = Header { feature_type, shape: sizes.to_vec(), data_start: 128 };
                assert_eq!(Header::read(&bytes).unwrap(), expected);
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_header_is_named() {
        let problem = |text: &str| Header::read(&file(1, text)).unwrap_err();
        let with = |descr: &str, order: &str, shape: &str| {
            problem(&format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"))
        };
        assert!(matches!(with("'<f4'", "True", "(1, 2)"), FeatureFileProblem::FortranOrder));
        for descr in ["'<f8'", "'>f4'", "'|O'", "[('x', '<f4')]"] {
            assert!(matches!(with(descr, "False", "(1, 2)"), FeatureFileProblem::DataType { .. }), "{descr}");
        }
        for shape in
            ["(-1, 2)", "(1.0, 2)", "(99999999999999999999999, 2)", "1, 2", "(1, 2", "(,)", "((1, 2), 3)"]
        {
            assert!(matches!(with("'<f4'", "False", shape), FeatureFileProblem::NpyHeader { .. }), "{shape}");
        }
        for text in [
            "",
            "{",
            "}",
            "{}",
            "{'descr': '<f4'}",
            "{'descr'",
            "{'descr': '<f4' 'shape': (1, 2)}",
            "{'a': 1}",
        ] {
            assert!(matches!(problem(text), FeatureFileProblem::NpyHeader { .. }), "{text}");
        }
        for bytes in [
            &b"\x93NUMPY"[..],
            b"\x93NUMPY\x01\0",
            b"\x93NUMPY\x02\0\xff\xff\xff\xff",
            b"\x93NUMPY\x09\0\0\0",
        ] {
            assert!(matches!(Header::read(bytes), Err(FeatureFileProblem::NpyHeader { .. })), "{bytes:?}");
        }
    }
}
