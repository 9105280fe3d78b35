//! The segments of a JPEG file before its first scan.

use std::io::{BufRead, Read, Seek};

/// Most bytes that may lie between two segments or pad a marker before the file counts as damaged.
const MAX_GARBAGE_BYTES: u32 = 1 << 16;

/// Most bytes of EXIF data that are kept, which long data is split over several segments of.
const MAX_EXIF_BYTES: usize = 1 << 20;

/// A channel of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) identifier: u8,
    /// Samples in a row and in a column of the smallest unit of the image.
    pub(crate) sampling: (u8, u8),
}

/// The frame header: size, kind and channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// In pixels.
    pub(crate) width: u16,
    /// In pixels.
    pub(crate) height: u16,
    pub(crate) is_progressive: bool,
    pub(crate) components: Vec<Component>,
}

impl FrameHeader {
    /// `width * height`.
    pub(crate) fn num_pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Samples of all channels for each pixel.
    fn samples_per_pixel(&self) -> f64 {
        let samples =
            |component: &Component| f64::from(component.sampling.0) * f64::from(component.sampling.1);
        let (horizontal, vertical) = self.greatest_sampling();
        let unit = f64::from(horizontal.max(1)) * f64::from(vertical.max(1));
        self.components.iter().map(samples).sum::<f64>() / unit
    }

    fn greatest_sampling(&self) -> (u8, u8) {
        let all = || self.components.iter().map(|component| component.sampling);
        (
            all().map(|sampling| sampling.0).max().unwrap_or(1),
            all().map(|sampling| sampling.1).max().unwrap_or(1),
        )
    }
}

/// Frame and colour information of a JPEG file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JpegHeader {
    pub(crate) frame: FrameHeader,
    /// Channels of the first scan; `None` where the file ends before it.
    pub(crate) first_scan: Option<u8>,
    /// Whether there is a JFIF segment, which says that the colours are YCbCr.
    pub(crate) is_jfif: bool,
    /// The colour transform that Adobe's segment names.
    pub(crate) adobe_transform: Option<u8>,
    /// EXIF data without its prefix, the segments one after the other; empty where there is none.
    pub(crate) exif: Vec<u8>,
    /// The last XMP packet; empty where there is none.
    pub(crate) xmp: Vec<u8>,
}

impl JpegHeader {
    /// Reads all segments up to the first scan of the file that starts at the reader's position.
    ///
    /// The error is the reason, if there is no frame header of a kind that can be decoded.
    pub(crate) fn read(reader: &mut (impl BufRead + Seek)) -> Result<Self, String> {
        let mut header = None;
        let (mut is_jfif, mut adobe_transform, mut exif, mut xmp) = (false, None, Vec::new(), Vec::new());
        let mut first_scan = None;
        // Damage behind the frame header is for the decoder to judge.
        let outcome = walk(reader, |marker, reader, length| {
            match marker {
                0xC0..=0xC2 if header.is_none() => header = Some(read_frame(marker, reader, length)?),
                0xDA => {
                    first_scan = read_payload(reader, length.min(1))?.first().copied();
                    return Ok(Step::Stop);
                }
                0xE0 if length >= 14 => is_jfif |= read_payload(reader, length)?.starts_with(b"JFIF\0"),
                0xE1 => {
                    let payload = read_payload(reader, length)?;
                    if let Some(data) = payload.strip_prefix(b"Exif\0\0") {
                        let room = MAX_EXIF_BYTES - exif.len();
                        exif.extend_from_slice(&data[..data.len().min(room)]);
                    } else if let Some(packet) = payload.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                        xmp = packet.to_vec();
                    }
                }
                0xEE => {
                    let payload = read_payload(reader, length)?;
                    if payload.starts_with(b"Adobe") && payload.len() >= 12 {
                        adobe_transform = Some(payload[11]);
                    }
                }
                _ => return Ok(Step::Skip),
            }
            Ok(Step::Read)
        });
        match (header, outcome) {
            (Some(frame), _) => Ok(Self { frame, first_scan, is_jfif, adobe_transform, exif, xmp }),
            (None, Err(reason)) => Err(reason),
            (None, Ok(())) => Err("the JPEG holds no frame header".into()),
        }
    }

    /// Whether the image comes in one pass over its rows.
    pub(crate) fn is_interleaved(&self) -> bool {
        let frame = &self.frame;
        !frame.is_progressive
            && self.first_scan.is_none_or(|number| usize::from(number) == frame.components.len())
    }

    /// Whether the fast decoder reads the file correctly.
    ///
    /// It does not where sequential channels come in several scans, where the first channel is not the one
    /// with the most samples, and where a sampling factor is not a power of two.
    pub(crate) fn suits_fast_decoder(&self) -> bool {
        let frame = &self.frame;
        let Some(first) = frame.components.first() else { return true };
        let is_power_of_two = |component: &Component| {
            let (horizontal, vertical) = component.sampling;
            horizontal.is_power_of_two() && vertical.is_power_of_two()
        };
        frame.components.len() == 1
            || (first.sampling == frame.greatest_sampling()
                && frame.components.iter().all(is_power_of_two)
                && (frame.is_progressive || self.is_interleaved()))
    }

    /// Bytes that decoding the whole image takes, beside the file itself.
    pub(crate) fn decoder_bytes(&self) -> u64 {
        let samples = self.frame.samples_per_pixel();
        let mut bytes_per_pixel = 3.0;
        // All coefficients of 16 bits are kept until the last scan.
        if self.frame.is_progressive {
            bytes_per_pixel += 2.0 * samples;
        }
        if self.frame.components.len() == 1 {
            bytes_per_pixel += 1.0;
        }
        // The channels by themselves, and then together.
        if !self.suits_fast_decoder() {
            bytes_per_pixel += samples + self.frame.components.len() as f64;
        }
        (self.frame.num_pixels() as f64 * bytes_per_pixel) as u64
    }
}

/// Width and height from the frame header of the file that starts at the reader's position.
///
/// The error is the reason.
pub(crate) fn jpeg_size(reader: &mut (impl BufRead + Seek)) -> Result<(u32, u32), String> {
    let mut size = None;
    walk(reader, |marker, reader, length| match marker {
        0xC0..=0xC2 => {
            let frame = read_frame(marker, reader, length)?;
            size = Some((frame.width.into(), frame.height.into()));
            Ok(Step::Stop)
        }
        0xDA => Ok(Step::Stop),
        _ => Ok(Step::Skip),
    })?;
    size.ok_or_else(|| "the JPEG holds no frame header".into())
}

/// The outcome of reading a segment.
enum Step {
    /// Its payload was read.
    Read,
    /// Its payload is still to be skipped.
    Skip,
    /// No more segments are wanted.
    Stop,
}

fn ends_early() -> String {
    "the JPEG ends before its size is stated".into()
}

/// Hands over each segment's marker and the length of its payload, which comes next in the reader.
fn walk<R: BufRead + Seek>(
    reader: &mut R,
    mut visit: impl FnMut(u8, &mut R, u16) -> Result<Step, String>,
) -> Result<(), String> {
    read_bytes::<2>(reader)?;
    loop {
        let marker = next_marker(reader)?;
        match marker {
            0x01 | 0xD0..=0xD8 => continue,
            0xD9 => return Ok(()),
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Err("lossless, hierarchical and arithmetic-coded JPEGs are not supported".into());
            }
            _ => {}
        }
        let length = u16::from_be_bytes(read_bytes(reader)?).saturating_sub(2);
        match visit(marker, reader, length)? {
            Step::Read => {}
            Step::Skip => reader.seek_relative(length.into()).map_err(|_| ends_early())?,
            Step::Stop => return Ok(()),
        }
    }
}

fn read_frame(marker: u8, reader: &mut impl BufRead, length: u16) -> Result<FrameHeader, String> {
    let [precision, height_high, height_low, width_high, width_low, num_components] = read_bytes(reader)?;
    if precision != 8 {
        return Err(format!("JPEGs of {precision} bits per channel are not supported, only 8"));
    }
    let payload = read_payload(reader, length.saturating_sub(6).min(3 * u16::from(num_components)))?;
    let (components, _) = payload.as_chunks::<3>();
    let component = |&[identifier, sampling, _]: &[u8; 3]| Component {
        identifier,
        sampling: (sampling >> 4, sampling & 0x0F),
    };
    Ok(FrameHeader {
        width: u16::from_be_bytes([width_high, width_low]),
        height: u16::from_be_bytes([height_high, height_low]),
        is_progressive: marker == 0xC2,
        components: components.iter().map(component).collect(),
    })
}

/// Skips to the next marker and returns its second byte.
fn next_marker(reader: &mut impl BufRead) -> Result<u8, String> {
    let mut previous = 0_u8;
    for _ in 0..MAX_GARBAGE_BYTES {
        let [byte] = read_bytes(reader)?;
        if previous == 0xFF && byte != 0xFF && byte != 0x00 {
            return Ok(byte);
        }
        previous = byte;
    }
    Err("the JPEG's segments are damaged".into())
}

fn read_bytes<const N: usize>(reader: &mut impl BufRead) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(|_| ends_early())?;
    Ok(bytes)
}

/// As many bytes as there are of `length`.
fn read_payload(reader: &mut impl BufRead, length: u16) -> Result<Vec<u8>, String> {
    let mut payload = Vec::with_capacity(length.into());
    reader.take(length.into()).read_to_end(&mut payload).map_err(|error| error.to_string())?;
    Ok(payload)
}
