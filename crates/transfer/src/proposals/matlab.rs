//! MATLAB files of version 5, as far as proposals need them.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use deepcluster_evaluation::BoundingBox;
use deepcluster_files::read_bounded;
use flate2::read::ZlibDecoder;

use crate::proposals::error::ProposalError;
use crate::proposals::image_boxes::Proposals;

/// Most bytes that the variables of a file may expand to: for each of the file, and besides.
const MOST_EXPANSION: u64 = 64;
const BASE_EXPANSION: u64 = 64 << 20;
/// Most bytes of a file: those of a variable are counted with 32 bits.
const MAX_FILE_BYTES: u64 = 4 << 30;
/// Cells within cells, at most.
const MAX_DEPTH: usize = 8;

const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;

/// A value of a file.
#[derive(Debug, Clone, PartialEq)]
enum Array<'a> {
    /// Rows and columns, column by column.
    Numbers {
        num_rows: usize,
        values: Numbers<'a>,
    },
    Text(String),
    Cells(Vec<Array<'a>>),
    /// Of a class that is not needed.
    Other,
}

pub(crate) fn read(path: &Path) -> Result<Proposals, ProposalError> {
    let io = |source| ProposalError::Io { action: "read", path: path.to_path_buf(), source };
    let bytes = read_bounded(path, MAX_FILE_BYTES).map_err(io)?;
    from_bytes(&bytes).map_err(|reason| ProposalError::Malformed { path: path.to_path_buf(), reason })
}

/// Boxes by image, from the cells `boxes` (rows `y1 x1 y2 x2`, counted from 1) and `images` (names).
fn from_bytes(bytes: &[u8]) -> Result<Proposals, String> {
    let elements = elements(bytes)?;
    let variables = elements.iter().map(Element::variable).collect::<Result<Vec<_>, _>>()?;
    let cells = |name: &str| match variables.iter().find(|(found, _)| found == name) {
        Some((_, Array::Cells(cells))) => Ok(cells),
        Some(_) => Err(format!("its variable '{name}' is no cell array")),
        None => {
            let known: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
            Err(format!("it has no variable '{name}', only: {}", known.join(", ")))
        }
    };
    let (boxes, images) = (cells("boxes")?, cells("images")?);
    if boxes.len() != images.len() {
        return Err(format!("it has boxes of {} images, and names of {}", boxes.len(), images.len()));
    }
    let mut proposals = Proposals::new();
    for (index, (boxes, image)) in boxes.iter().zip(images).enumerate() {
        let Array::Text(name) = image else { return Err(format!("name {index} is no text")) };
        let Array::Numbers { num_rows, values } = boxes else {
            return Err(format!("the boxes of '{name}' are no numbers"));
        };
        if num_rows.checked_mul(4) != Some(values.len()) {
            return Err(format!("the boxes of '{name}' have no four columns"));
        }
        let bounds = |row: usize| {
            let side = |column: usize| (values.get(column * num_rows + row) - 1.0) as f32;
            let bounds = BoundingBox { y_min: side(0), x_min: side(1), y_max: side(2), x_max: side(3) };
            let BoundingBox { x_min, y_min, x_max, y_max } = bounds;
            let is_sound = [x_min, y_min, x_max, y_max].iter().all(|side| side.is_finite());
            if is_sound && x_max >= x_min && y_max >= y_min {
                Ok(bounds)
            } else {
                Err(format!("box {row} of '{name}' is turned inside out or no number"))
            }
        };
        proposals.insert(name.clone(), (0..*num_rows).map(bounds).collect::<Result<_, _>>()?);
    }
    Ok(proposals)
}

/// The data of an array, in the file or unpacked from it.
struct Element<'a> {
    data: Cow<'a, [u8]>,
    is_big: bool,
}

impl Element<'_> {
    /// Name and value.
    fn variable(&self) -> Result<(String, Array<'_>), String> {
        Cursor { bytes: &self.data, is_big: self.is_big }.matrix(0)
    }
}

/// The variables of a file.
fn elements(bytes: &[u8]) -> Result<Vec<Element<'_>>, String> {
    if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") {
        return Err("it has version 7.3 of the format: save it with -v7".to_string());
    }
    let is_big = match bytes.get(126..128) {
        Some(b"IM") => false,
        Some(b"MI") => true,
        _ => return Err("it is no MATLAB file of version 5 to 7".to_string()),
    };
    let mut cursor = Cursor { bytes: &bytes[128..], is_big };
    let mut elements = Vec::new();
    let most = MOST_EXPANSION * bytes.len() as u64 + BASE_EXPANSION;
    let mut left = most;
    while !cursor.bytes.is_empty() {
        let (kind, data) = cursor.element()?;
        match kind {
            COMPRESSED => {
                let mut unpacked = Vec::new();
                let mut decoder = ZlibDecoder::new(data).take(left + 1);
                decoder
                    .read_to_end(&mut unpacked)
                    .map_err(|error| format!("a variable is damaged: {error}"))?;
                left = left.checked_sub(unpacked.len() as u64).ok_or_else(|| {
                    format!("it expands to more than {most} bytes: save it with -v6, or its boxes as CSV")
                })?;
                let (kind, data) = Cursor { bytes: &unpacked, is_big }.element()?;
                if kind == MATRIX {
                    let len = data.len();
                    // Type and length.
                    unpacked.drain(..8);
                    unpacked.truncate(len);
                    elements.push(Element { data: Cow::Owned(unpacked), is_big });
                }
            }
            MATRIX => elements.push(Element { data: Cow::Borrowed(data), is_big }),
            _ => {}
        }
    }
    Ok(elements)
}

/// Elements one after another.
struct Cursor<'a> {
    bytes: &'a [u8],
    is_big: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or("it ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Type and data of the next element; its padding to 8 bytes is passed over.
    fn element(&mut self) -> Result<(u32, &'a [u8]), String> {
        let first = self.word()?;
        // Up to four bytes fit into the head of an element, with their number in its upper half.
        if first >> 16 != 0 {
            let data = self.take(4)?;
            let len = (first >> 16) as usize;
            return Ok((first & 0xFFFF, data.get(..len).ok_or("a small element is too long")?));
        }
        let len = self.word()? as usize;
        let data = self.take(len)?;
        if first != COMPRESSED {
            let padding = len.next_multiple_of(8) - len;
            // The last element of a file may go without.
            self.take(padding.min(self.bytes.len()))?;
        }
        Ok((first, data))
    }

    /// The name and value of the array that these bytes are the data of.
    fn matrix(mut self, depth: usize) -> Result<(String, Array<'a>), String> {
        if self.bytes.is_empty() {
            return Ok((String::new(), Array::Numbers { num_rows: 0, values: Numbers::NONE }));
        }
        if depth > MAX_DEPTH {
            return Err("its cells are nested too deeply".to_string());
        }
        let (kind, flags) = self.element()?;
        let class = Numbers::new(kind, flags, self.is_big)?.iter().next().unwrap_or(0.0) as u32 & 0xFF;
        let (kind, data) = self.element()?;
        let dimensions = Numbers::new(kind, data, self.is_big)?;
        let size = dimensions.iter().product::<f64>();
        let (kind, data) = self.element()?;
        let name = text(kind, data, self.is_big)?;
        let array = match class {
            1 => {
                let mut cells = Vec::new();
                // The bytes bound how many there are; the header may say anything.
                while !self.bytes.is_empty() && (cells.len() as f64) < size {
                    let (kind, data) = self.element()?;
                    if kind != MATRIX {
                        return Err(format!("a cell of '{name}' is no array"));
                    }
                    cells.push(Cursor { bytes: data, is_big: self.is_big }.matrix(depth + 1)?.1);
                }
                Array::Cells(cells)
            }
            4 => {
                let (kind, data) = self.element()?;
                Array::Text(text(kind, data, self.is_big)?)
            }
            6..=15 => {
                let (kind, data) = self.element()?;
                let values = Numbers::new(kind, data, self.is_big)?;
                let num_rows = dimensions.iter().next().unwrap_or(0.0);
                if size != values.len() as f64 {
                    return Err(format!("'{name}' does not have as many values as its size says"));
                }
                Array::Numbers { num_rows: num_rows as usize, values }
            }
            _ => Array::Other,
        };
        Ok((name, array))
    }
}

/// The numbers of an element of any numeric type, which need not be that of its array.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Numbers<'a> {
    kind: u32,
    data: &'a [u8],
    is_big: bool,
}

impl<'a> Numbers<'a> {
    const NONE: Self = Self { kind: 2, data: &[], is_big: false };

    fn new(kind: u32, data: &'a [u8], is_big: bool) -> Result<Self, String> {
        match kind {
            1..=7 | 9 | 12 | 13 | 16 | 17 => Ok(Self { kind, data, is_big }),
            _ => Err(format!("an element has the unknown type {kind}")),
        }
    }

    /// Bytes of a number.
    fn width(&self) -> usize {
        match self.kind {
            3 | 4 | 17 => 2,
            5..=7 => 4,
            9 | 12 | 13 => 8,
            _ => 1,
        }
    }

    fn len(&self) -> usize {
        self.data.len() / self.width()
    }

    fn get(&self, index: usize) -> f64 {
        let width = self.width();
        let bytes = &self.data[index * width..][..width];
        // Of any width, in the order from the least byte on.
        let mut word = [0; 8];
        word[..width].copy_from_slice(bytes);
        if self.is_big {
            word[..width].reverse();
        }
        let word = u64::from_le_bytes(word);
        match self.kind {
            1 => f64::from(word as i8),
            3 => f64::from(word as i16),
            5 => f64::from(word as i32),
            7 => f64::from(f32::from_bits(word as u32)),
            9 => f64::from_bits(word),
            12 => word as i64 as f64,
            _ => word as f64,
        }
    }

    fn iter(&self) -> impl Iterator<Item = f64> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// The characters of an element of 8 or 16 bits.
fn text(kind: u32, data: &[u8], is_big: bool) -> Result<String, String> {
    match kind {
        1 | 2 | 16 => Ok(String::from_utf8_lossy(data).into_owned()),
        _ => {
            let numbers = Numbers::new(kind, data, is_big)?;
            Ok(String::from_utf16_lossy(&numbers.iter().map(|code| code as u16).collect::<Vec<u16>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Written by `tests/python/make_proposals.py`.
    const FILES: [&[u8]; 2] =
        [include_bytes!("../../tests/data/compressed.mat"), include_bytes!("../../tests/data/plain.mat")];

    fn bounds(x_min: f32, y_min: f32, x_max: f32, y_max: f32) -> BoundingBox {
        BoundingBox { x_min, y_min, x_max, y_max }
    }

    #[test]
    fn files_of_scipy_are_read() {
        let expected = Proposals::from([
            ("000001".to_string(), vec![bounds(0.0, 9.0, 99.0, 59.0), bounds(4.0, 0.0, 199.0, 299.0)]),
            ("image_2".to_string(), vec![bounds(1.0, 2.0, 3.0, 4.0)]),
            ("nothing".to_string(), vec![]),
        ]);
        for file in FILES {
            assert_eq!(from_bytes(file).unwrap(), expected);
        }
    }

    #[test]
    fn both_byte_orders_are_read() {
        for is_big in [false, true] {
            let mut file = vec![b' '; 124];
            file.extend(if is_big { [1, 0, b'M', b'I'] } else { [0, 1, b'I', b'M'] });
            file.extend(element(is_big, MATRIX, &cell(is_big, "boxes", &box_of(is_big, [1., 2., 3., 4.]))));
            file.extend(element(is_big, MATRIX, &cell(is_big, "images", &name_of(is_big, "ab"))));
            let expected = Proposals::from([("ab".to_string(), vec![bounds(1.0, 0.0, 3.0, 2.0)])]);
            assert_eq!(from_bytes(&file).unwrap(), expected);
        }
    }

    fn word(is_big: bool, value: u32) -> [u8; 4] {
        if is_big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn element(is_big: bool, kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = [word(is_big, kind), word(is_big, data.len() as u32)].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn head(is_big: bool, class: u32, size: [u32; 2], name: &str) -> Vec<u8> {
        let flags = [word(is_big, class), word(is_big, 0)].concat();
        let size = size.map(|side| word(is_big, side)).concat();
        [element(is_big, 6, &flags), element(is_big, 5, &size), element(is_big, 1, name.as_bytes())].concat()
    }

    fn box_of(is_big: bool, sides: [f64; 4]) -> Vec<u8> {
        let sides = sides.map(|side| if is_big { side.to_be_bytes() } else { side.to_le_bytes() });
        [head(is_big, 6, [1, 4], ""), element(is_big, 9, &sides.concat())].concat()
    }

    fn name_of(is_big: bool, name: &str) -> Vec<u8> {
        let codes: Vec<u8> = name
            .encode_utf16()
            .flat_map(|code| if is_big { code.to_be_bytes() } else { code.to_le_bytes() })
            .collect();
        [head(is_big, 4, [1, name.len() as u32], ""), element(is_big, 4, &codes)].concat()
    }

    fn cell(is_big: bool, name: &str, content: &[u8]) -> Vec<u8> {
        [head(is_big, 1, [1, 1], name), element(is_big, MATRIX, content)].concat()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(from_bytes(b"MATLAB 7.3 MAT-file").unwrap_err().contains("-v7"));
        assert!(from_bytes(b"nothing").unwrap_err().contains("no MATLAB file"));
        let mut file = vec![b' '; 124];
        file.extend([0, 1, b'I', b'M']);
        assert!(from_bytes(&file).unwrap_err().contains("no variable 'boxes'"));
        file.extend(element(false, MATRIX, &cell(false, "boxes", &box_of(false, [5., 2., 3., 4.]))));
        assert!(from_bytes(&file).unwrap_err().contains("no variable 'images', only: boxes"));
        file.extend(element(false, MATRIX, &cell(false, "images", &name_of(false, "ab"))));
        assert!(from_bytes(&file).unwrap_err().contains("box 0 of 'ab' is turned inside out"));
    }
}
