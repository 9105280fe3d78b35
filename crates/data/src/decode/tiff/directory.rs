//! The first directory of a TIFF file, which EXIF data has too.

use std::io::{Read, Seek, SeekFrom};

/// Most bytes of one field that are read.
const MAX_FIELD_BYTES: u64 = 64 << 20;

/// Most fields of a directory.
const MAX_FIELDS: u64 = 1 << 16;

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// The number in up to 8 bytes.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, append),
            Self::Big => bytes.iter().fold(0, append),
        }
    }
}

/// The fields of one directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) byte_order: ByteOrder,
    fields: Vec<Field>,
    /// Bytes of an offset: 4, or 8 in BigTIFF.
    offset_bytes: usize,
}

/// Tag, type, number of values, and the values or where they are.
#[derive(Debug, Clone, Copy)]
struct Field {
    tag: u16,
    kind: u16,
    count: u64,
    content: [u8; 8],
}

impl Field {
    /// Bytes of one value; `None` for types that are unknown.
    fn value_bytes(&self) -> Option<u64> {
        match self.kind {
            1 | 2 | 6 | 7 => Some(1),
            3 | 8 => Some(2),
            4 | 9 | 11 | 13 => Some(4),
            5 | 10 | 12 | 16..=18 => Some(8),
            _ => None,
        }
    }

    fn check_type(&self, is_right: bool) -> Result<(), String> {
        if is_right { Ok(()) } else { Err(format!("the TIFF field {} is of a wrong type", self.tag)) }
    }
}

impl Directory {
    /// Reads the header and the first directory, classic or BigTIFF, of the file that starts at position 0.
    ///
    /// Of a directory that is cut short, the fields that are there are kept. The error is the reason in
    /// words.
    pub(crate) fn read(reader: &mut (impl Read + Seek)) -> Result<Self, String> {
        reader.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        let cut_short = |_| String::from("the TIFF ends before its directory");
        let mut header = [0; 8];
        reader.read_exact(&mut header).map_err(cut_short)?;
        // The two that exchange the bytes of the number 42 are wrong and met.
        let (byte_order, is_big) = match &header[..4] {
            b"II\x2A\0" | b"II\0\x2A" => (ByteOrder::Little, false),
            b"MM\0\x2A" | b"MM\x2A\0" => (ByteOrder::Big, false),
            b"II\x2B\0" => (ByteOrder::Little, true),
            b"MM\0\x2B" => (ByteOrder::Big, true),
            _ => return Err("it has no TIFF header".into()),
        };
        let mut start = byte_order.number(&header[4..]);
        let offset_bytes = if is_big { 8 } else { 4 };
        if is_big {
            reader.read_exact(&mut header).map_err(cut_short)?;
            start = byte_order.number(&header);
        }
        reader.seek(SeekFrom::Start(start)).map_err(cut_short)?;
        let count_bytes = if is_big { 8 } else { 2 };
        reader.read_exact(&mut header[..count_bytes]).map_err(cut_short)?;
        let num_fields = byte_order.number(&header[..count_bytes]);
        if num_fields > MAX_FIELDS {
            return Err(format!("a TIFF directory of {num_fields} fields is damaged"));
        }
        let field_bytes = 4 + 2 * offset_bytes;
        let mut bytes = Vec::new();
        let read = reader.take(num_fields * field_bytes as u64).read_to_end(&mut bytes);
        read.map_err(|error| error.to_string())?;
        let parse = |bytes: &[u8]| {
            let mut content = [0; 8];
            content[..offset_bytes].copy_from_slice(&bytes[4 + offset_bytes..]);
            Field {
                tag: byte_order.number(&bytes[..2]) as u16,
                kind: byte_order.number(&bytes[2..4]) as u16,
                count: byte_order.number(&bytes[4..4 + offset_bytes]),
                content,
            }
        };
        let fields = bytes.chunks_exact(field_bytes).map(parse).collect();
        Ok(Self { byte_order, fields, offset_bytes })
    }

    /// The first value of a field of whole numbers; `None` where the field does not exist or has none.
    pub(crate) fn integer(&self, reader: &mut (impl Read + Seek), tag: u16) -> Result<Option<u64>, String> {
        Ok(self.integers(reader, tag)?.and_then(|values| values.first().copied()))
    }

    /// All values of a field of whole numbers, negative ones as the largest there are.
    pub(crate) fn integers(
        &self,
        reader: &mut (impl Read + Seek),
        tag: u16,
    ) -> Result<Option<Vec<u64>>, String> {
        let Some(field) = self.field(tag) else { return Ok(None) };
        field.check_type(matches!(field.kind, 3 | 4 | 6 | 8 | 9 | 13 | 16..=18))?;
        let bytes = self.content(reader, field)?;
        let width = field.value_bytes().unwrap_or(1) as usize;
        let is_signed = matches!(field.kind, 6 | 8 | 9 | 17);
        let number = |bytes: &[u8]| {
            let number = self.byte_order.number(bytes);
            if is_signed && number >> (8 * width - 1) == 1 { u64::MAX } else { number }
        };
        Ok(Some(bytes.chunks_exact(width).map(number).collect()))
    }

    /// All values of a field of fractions.
    pub(crate) fn fractions(
        &self,
        reader: &mut (impl Read + Seek),
        tag: u16,
    ) -> Result<Option<Vec<f64>>, String> {
        let Some(field) = self.field(tag) else { return Ok(None) };
        field.check_type(field.kind == 5)?;
        let bytes = self.content(reader, field)?;
        let (pairs, _) = bytes.as_chunks::<8>();
        let part = |bytes: &[u8]| self.byte_order.number(bytes) as f64;
        Ok(Some(pairs.iter().map(|pair| part(&pair[..4]) / part(&pair[4..])).collect()))
    }

    /// The bytes of a field of bytes.
    pub(crate) fn bytes(&self, reader: &mut (impl Read + Seek), tag: u16) -> Result<Option<Vec<u8>>, String> {
        let Some(field) = self.field(tag) else { return Ok(None) };
        field.check_type(matches!(field.kind, 1 | 2 | 6 | 7))?;
        self.content(reader, field).map(Some)
    }

    /// Whether a field exists, of any type.
    pub(crate) fn has(&self, tag: u16) -> bool {
        self.field(tag).is_some()
    }

    /// The first field of that tag and a known type.
    fn field(&self, tag: u16) -> Option<&Field> {
        self.fields.iter().find(|field| field.tag == tag && field.value_bytes().is_some())
    }

    fn content(&self, reader: &mut (impl Read + Seek), field: &Field) -> Result<Vec<u8>, String> {
        let num_bytes = field.count.saturating_mul(field.value_bytes().unwrap_or(1));
        if num_bytes <= self.offset_bytes as u64 {
            return Ok(field.content[..num_bytes as usize].to_vec());
        }
        let damaged = || format!("the TIFF field {} is damaged", field.tag);
        if num_bytes > MAX_FIELD_BYTES {
            return Err(damaged());
        }
        let offset = self.byte_order.number(&field.content[..self.offset_bytes]);
        reader.seek(SeekFrom::Start(offset)).map_err(|_| damaged())?;
        let mut bytes = Vec::new();
        reader.take(num_bytes).read_to_end(&mut bytes).map_err(|_| damaged())?;
        if bytes.len() as u64 == num_bytes { Ok(bytes) } else { Err(damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// One SHORT field 274 of two values in place, big-endian, and one RATIONAL field 529 elsewhere.
    const CLASSIC: &[u8] = b"MM\0\x2A\0\0\0\x08\0\x02\
        \x01\x12\0\x03\0\0\0\x02\0\x06\0\x07\
        \x02\x11\0\x05\0\0\0\x01\0\0\0\x22\
        \0\0\0\x03\0\0\0\x04";
    const BIG: &[u8] = b"II\x2B\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\
        \x12\x01\x10\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0";

    #[test]
    fn values_in_place_and_elsewhere_are_read() {
        let mut reader = Cursor::new(CLASSIC);
        let directory = Directory::read(&mut reader).unwrap();
        assert_eq!(directory.integers(&mut reader, 274).unwrap().unwrap(), [6, 7]);
        assert_eq!(directory.fractions(&mut reader, 529).unwrap().unwrap(), [0.75]);
        assert!(directory.integer(&mut reader, 529).unwrap_err().contains("wrong type"));
        assert_eq!(directory.integer(&mut reader, 530).unwrap(), None);
        assert!(directory.has(529) && !directory.has(530));
    }

    #[test]
    fn values_of_eight_bytes_are_read_from_bigtiff() {
        let mut reader = Cursor::new(BIG);
        let directory = Directory::read(&mut reader).unwrap();
        assert_eq!(directory.integer(&mut reader, 274).unwrap(), Some(5));
    }

    #[test]
    fn what_is_cut_short_is_an_error_or_absent() {
        for length in 0..CLASSIC.len() {
            let mut reader = Cursor::new(&CLASSIC[..length]);
            let Ok(directory) = Directory::read(&mut reader) else {
                assert!(length < 10);
                continue;
            };
            assert_eq!(directory.integer(&mut reader, 274).unwrap().is_some(), length >= 22);
            assert!(matches!(directory.fractions(&mut reader, 529), Ok(None) | Err(_)), "{length}");
        }
    }
}
