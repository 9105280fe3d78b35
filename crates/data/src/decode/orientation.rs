//! Rotation and mirroring of an image according to its metadata, for all formats.
//!
//! The rules are those of Pillow's `ImageOps.exif_transpose`:
//! - EXIF data counts before XMP. If it holds an orientation, whatever its value, XMP is not looked at.
//! - EXIF is found in the APP1 segments of a JPEG before its first scan (of several, their data is joined, so
//!   that the first counts), in the last `eXIf` chunk of a PNG, otherwise in a text chunk
//!   `Raw profile type exif` or one `Raw profile type APP1`, before or behind the pixels, in the first `EXIF`
//!   chunk of a WebP that announces one, and in the first directory of a TIFF.
//! - XMP is found in the last such APP1 segment of a JPEG, in the last text chunk `XML:com.adobe.xmp` of a
//!   PNG, in the first `XMP ` chunk of a WebP that announces one, and in the field 700 of a TIFF.
//! - EXIF data may start with the prefix `Exif\0\0`, once or twice, in any format, and is of either byte
//!   order. The orientation is a whole number of any width.
//! - A number outside 1 to 8, or data that is damaged, turns nothing. GIF and BMP have no orientation.

use std::io::{BufRead, Cursor, Read, Seek, SeekFrom};

use image::ImageFormat;
use image::metadata::Orientation;
use memchr::memmem;

use crate::decode::jpeg::header::JpegHeader;
use crate::decode::tiff::directory::Directory;

/// The field of the orientation in EXIF data and TIFF files.
const ORIENTATION_TAG: u16 = 274;

/// The field of the XMP packet in TIFF files.
const XMP_TAG: u16 = 700;

/// Most bytes of EXIF data or of an XMP packet that are looked at.
const MAX_METADATA_BYTES: u64 = 4 << 20;

/// Most chunks of a PNG or WebP that are looked at.
const MAX_CHUNKS: usize = 1 << 20;

/// The orientation of the image file that starts at position 0 of the reader; none where the metadata is
/// damaged.
///
/// That of a JPEG is in its [`JpegHeader`].
pub(crate) fn read_orientation(reader: &mut (impl BufRead + Seek), format: ImageFormat) -> Orientation {
    let number = match format {
        ImageFormat::Jpeg => reader
            .seek(SeekFrom::Start(0))
            .ok()
            .and_then(|_| JpegHeader::read(reader).ok())
            .and_then(|header| number_of(&header.exif, &header.xmp)),
        ImageFormat::Png => read_png_number(reader),
        ImageFormat::WebP => read_webp_number(reader),
        ImageFormat::Tiff => read_tiff_number(reader),
        _ => None,
    };
    to_orientation(number)
}

/// The orientation that the metadata of a JPEG states.
pub(crate) fn jpeg_orientation(header: &JpegHeader) -> Orientation {
    to_orientation(number_of(&header.exif, &header.xmp))
}

fn to_orientation(number: Option<u64>) -> Orientation {
    number
        .and_then(|number| u8::try_from(number).ok())
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

fn number_of(exif: &[u8], xmp: &[u8]) -> Option<u64> {
    exif_number(exif).or_else(|| xmp_number(xmp))
}

fn exif_number(mut exif: &[u8]) -> Option<u64> {
    for _ in 0..2 {
        exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    }
    let mut reader = Cursor::new(exif);
    let directory = Directory::read(&mut reader).ok()?;
    tag_number(&directory, &mut reader)
}

/// The value of the field, 0 if it cannot be an orientation.
fn tag_number(directory: &Directory, reader: &mut (impl Read + Seek)) -> Option<u64> {
    let is_there = directory.has(ORIENTATION_TAG);
    is_there.then(|| directory.integer(reader, ORIENTATION_TAG).ok().flatten().unwrap_or(0))
}

/// The digit behind `tiff:Orientation`, which is an attribute or an element.
fn xmp_number(xmp: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"tiff:Orientation";
    memmem::find_iter(xmp, NAME).find_map(|place| match &xmp[place + NAME.len()..] {
        [b'=', b'"' | b'\'', digit, ..] | [b'>', digit, ..] if digit.is_ascii_digit() => {
            Some(u64::from(digit - b'0'))
        }
        _ => None,
    })
}

fn read_tiff_number(reader: &mut (impl Read + Seek)) -> Option<u64> {
    let directory = Directory::read(reader).ok()?;
    tag_number(&directory, reader).or_else(|| xmp_number(&directory.bytes(reader, XMP_TAG).ok()??))
}

fn read_webp_number(reader: &mut (impl BufRead + Seek)) -> Option<u64> {
    const ANNOUNCES_EXIF: u8 = 0x08;
    const ANNOUNCES_XMP: u8 = 0x04;
    reader.seek(SeekFrom::Start(12)).ok()?;
    let (mut flags, mut exif, mut xmp) = (0, None, None);
    for number in 0..MAX_CHUNKS {
        let Some([name @ .., a, b, c, d]) = read_array::<8>(reader) else { break };
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        let place = match &name {
            b"VP8X" if number == 0 => {
                flags = read_array::<1>(reader)?[0];
                skip(reader, length + length % 2 - length.min(1))?;
                continue;
            }
            b"EXIF" if flags & ANNOUNCES_EXIF != 0 && exif.is_none() => &mut exif,
            b"XMP " if flags & ANNOUNCES_XMP != 0 && xmp.is_none() => &mut xmp,
            // Nothing but the pixels is in a file that does not begin by announcing more.
            _ if flags & (ANNOUNCES_EXIF | ANNOUNCES_XMP) == 0 => break,
            _ => {
                if skip(reader, length + length % 2).is_none() {
                    break;
                }
                continue;
            }
        };
        *place = Some(read_content(reader, length)?);
        if length % 2 == 1 && skip(reader, 1).is_none() {
            break;
        }
    }
    number_of(&exif.unwrap_or_default(), &xmp.unwrap_or_default())
}

/// Metadata of a PNG, where what comes last counts.
#[derive(Debug, Default)]
struct PngMetadata {
    exif: Option<Vec<u8>>,
    raw_exif: Option<Vec<u8>>,
    raw_app1: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

fn read_png_number(reader: &mut (impl BufRead + Seek)) -> Option<u64> {
    let mut metadata = PngMetadata::default();
    reader.seek(SeekFrom::Start(8)).ok()?;
    for _ in 0..MAX_CHUNKS {
        let Some([a, b, c, d, name @ ..]) = read_array::<8>(reader) else { break };
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        match &name {
            b"IEND" => break,
            b"eXIf" => metadata.exif = Some(read_content(reader, length)?),
            b"tEXt" | b"zTXt" | b"iTXt" => {
                let content = read_content(reader, length)?;
                metadata.note_text(&name, &content);
            }
            _ => {
                if skip(reader, length).is_none() {
                    break;
                }
            }
        }
        // The checksum.
        if skip(reader, 4).is_none() {
            break;
        }
    }
    let PngMetadata { exif, raw_exif, raw_app1, xmp } = metadata;
    let app1 = raw_app1.unwrap_or_default();
    let app1_xmp = app1.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0").map(<[u8]>::to_vec);
    let exif = exif.or(raw_exif).unwrap_or(app1);
    number_of(&exif, &xmp.or(app1_xmp).unwrap_or_default())
}

impl PngMetadata {
    fn note_text(&mut self, chunk_name: &[u8; 4], content: &[u8]) {
        let Some((keyword, rest)) = split_at_zero(content) else { return };
        let (place, is_raw) = match keyword {
            b"Raw profile type exif" => (&mut self.raw_exif, true),
            b"Raw profile type APP1" => (&mut self.raw_app1, true),
            b"XML:com.adobe.xmp" => (&mut self.xmp, false),
            _ => return,
        };
        let text = match (chunk_name, rest) {
            (b"tEXt", text) => Some(text.to_vec()),
            (b"zTXt", [0, packed @ ..]) => Some(inflate(packed)),
            (b"iTXt", [flag, method, rest @ ..]) => split_at_zero(rest)
                .and_then(|(_, rest)| split_at_zero(rest))
                .and_then(|(_, text)| match (flag, method) {
                    (0, _) => Some(text.to_vec()),
                    (_, 0) => Some(inflate(text)),
                    _ => None,
                }),
            _ => None,
        };
        let content = if is_raw { text.as_deref().and_then(raw_profile) } else { text };
        *place = content.or(place.take());
    }
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(0, bytes)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

fn inflate(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    // Of a damaged stream, what comes before the damage is looked at.
    let _ = flate2::read::ZlibDecoder::new(packed).take(MAX_METADATA_BYTES).read_to_end(&mut text);
    text
}

/// The bytes of a raw profile: an empty line, a name, a length, and hexadecimal digits in lines.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .splitn(4, |byte| *byte == b'\n')
        .nth(3)?
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map_while(|byte| char::from(*byte).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    Some(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

fn read_array<const N: usize>(reader: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).ok().map(|()| bytes)
}

/// The first of `length` bytes, up to the limit and the end; the rest is skipped.
fn read_content(reader: &mut (impl BufRead + Seek), length: u64) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    reader.take(length.min(MAX_METADATA_BYTES)).read_to_end(&mut content).ok()?;
    skip(reader, length.saturating_sub(MAX_METADATA_BYTES))?;
    Some(content)
}

fn skip(reader: &mut (impl BufRead + Seek), num_bytes: u64) -> Option<()> {
    reader.seek_relative(i64::try_from(num_bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A TIFF header and one field of the orientation.
    fn exif(is_big: bool, kind: u16, number: u32) -> Vec<u8> {
        let (mut bytes, content) = if is_big {
            (b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12".to_vec(), number.to_be_bytes())
        } else {
            (b"II\x2A\0\x08\0\0\0\x01\0\x12\x01".to_vec(), number.to_le_bytes())
        };
        let (kind, count) = if is_big {
            (kind.to_be_bytes(), 1_u32.to_be_bytes())
        } else {
            (kind.to_le_bytes(), 1_u32.to_le_bytes())
        };
        bytes.extend(kind);
        bytes.extend(count);
        let start = if is_big && kind[1] == 3 { 2 } else { 0 };
        bytes.extend(&content[start..]);
        bytes.resize(bytes.len() + start + 4, 0);
        bytes
    }

    #[test]
    fn whole_numbers_of_any_width_in_either_order_are_read() {
        for is_big in [false, true] {
            for kind in [3_u16, 4, 8, 9, 13] {
                let number = if is_big && kind == 8 { 6 << 16 } else { 6 };
                let data = exif(is_big, kind, number);
                assert_eq!(exif_number(&data), Some(6), "{is_big} {kind}");
                assert_eq!(exif_number(&[b"Exif\0\0", &data[..]].concat()), Some(6));
                assert_eq!(exif_number(&[b"Exif\0\0Exif\0\0", &data[..]].concat()), Some(6));
            }
        }
        // Bytes, text and fractions are not orientations.
        for kind in [1, 2, 5, 7, 11, 12] {
            assert_eq!(exif_number(&exif(false, kind, 6)), Some(0), "{kind}");
        }
    }

    #[test]
    fn exif_counts_before_xmp() {
        let xmp = br#"<rdf:Description tiff:Orientation="3"/>"#;
        assert_eq!(number_of(&exif(false, 3, 6), xmp), Some(6));
        assert_eq!(number_of(&exif(false, 3, 77), xmp), Some(77));
        assert_eq!(number_of(b"", xmp), Some(3));
        assert_eq!(number_of(b"damaged", xmp), Some(3));
        assert_eq!(to_orientation(Some(77)), Orientation::NoTransforms);
        assert_eq!(to_orientation(Some(262)), Orientation::NoTransforms);
    }

    #[test]
    fn attributes_and_elements_of_xmp_are_read() {
        assert_eq!(xmp_number(b"<tiff:Orientation>8</tiff:Orientation>"), Some(8));
        assert_eq!(xmp_number(b"tiff:Orientation='5'"), Some(5));
        assert_eq!(xmp_number(b"tiff:Orientation tiff:Orientation=\"2\""), Some(2));
        assert_eq!(xmp_number(b"tiff:Orientation=\""), None);
        assert_eq!(xmp_number(b""), None);
    }

    #[test]
    fn raw_profiles_are_hexadecimal_lines() {
        assert_eq!(raw_profile(b"\nexif\n       3\n45 78\n69\n"), Some(b"Exi".to_vec()));
        assert_eq!(raw_profile(b"\nexif\n"), None);
        assert_eq!(raw_profile(b"\nexif\n 2\n4z5"), Some(vec![]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(
            format in 0..6_usize,
            bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let (format, start): (ImageFormat, &[u8]) = [
                (ImageFormat::Jpeg, &b"\xFF\xD8\xFF\xE1"[..]),
                (ImageFormat::Png, b"\x89PNG\r\n\x1A\n\0\0\0\x40iTXtXML:com.adobe.xmp\0\x01\0\0\0\x78\x9C"),
                (ImageFormat::Png, b"\x89PNG\r\n\x1A\n\0\0\x01\0tEXtRaw profile type exif\0\nexif\n 2\n4578"),
                (ImageFormat::WebP, b"RIFF\0\0\0\0WEBPVP8X\x0A\0\0\0\x0C\0\0\0\0\0\0\0\0\0EXIF\x40\0\0\0"),
                (ImageFormat::Tiff, b"II\x2A\0\x08\0\0\0\x04\0"),
                (ImageFormat::Tiff, b"MM\0\x2B\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x03"),
            ][format];
            read_orientation(&mut Cursor::new([start, &bytes].concat()), format);
        }
    }
}
