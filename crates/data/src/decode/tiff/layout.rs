//! How the pixels of a TIFF are stored.

use std::io::{Read, Seek};

use crate::decode::tiff::directory::{ByteOrder, Directory};

/// Tags of the fields that are read.
pub(super) mod tag {
    pub(crate) const WIDTH: u16 = 256;
    pub(crate) const HEIGHT: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOR_MAP: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_HEIGHT: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const INK_SET: u16 = 332;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const JPEG_TABLES: u16 = 347;
    pub(crate) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(crate) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(crate) const REFERENCE_BLACK_WHITE: u16 = 532;
}

/// Most samples of one pixel, as in Pillow; only those that make a colour are looked at.
const MAX_SAMPLES: u64 = 6;

/// The colour that the first samples of a pixel make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

impl Photometric {
    /// Samples of a colour.
    pub(super) fn num_samples(self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }

    fn new(number: u64) -> Result<Self, String> {
        let name = match number {
            0 => return Ok(Self::WhiteIsZero),
            1 => return Ok(Self::BlackIsZero),
            2 => return Ok(Self::Rgb),
            3 => return Ok(Self::Palette),
            5 => return Ok(Self::Cmyk),
            6 => return Ok(Self::YCbCr),
            4 => "a transparency mask",
            8..=10 => "CIE L*a*b*",
            32_803 | 34_892 => "raw sensor data",
            32_844 | 32_845 => "CIE Log",
            _ => return Err(format!("TIFFs of the colour interpretation {number} are not supported")),
        };
        Err(format!("TIFFs of {name} are not supported"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    CcittGroup4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

impl Compression {
    fn new(number: u64) -> Result<Self, String> {
        let name = match number {
            1 => return Ok(Self::None),
            4 => return Ok(Self::CcittGroup4),
            5 => return Ok(Self::Lzw),
            7 => return Ok(Self::Jpeg),
            8 | 32_946 => return Ok(Self::Deflate),
            32_773 => return Ok(Self::PackBits),
            2 => "CCITT run lengths",
            3 => "CCITT group 3",
            6 => "JPEG of the old kind",
            33_003 | 33_004 | 33_005 | 34_712 => "JPEG 2000",
            34_887 => "LERC",
            34_925 => "LZMA",
            50_000 => "Zstandard",
            50_001 => "WebP",
            50_002 => "JPEG XL",
            _ => return Err(format!("TIFFs of the compression {number} are not supported")),
        };
        Err(format!("TIFFs compressed by {name} are not supported"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    FloatingPoint,
}

/// How the pixels of a TIFF are stored: everything but where its strips or tiles are.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(super) directory: Directory,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(super) photometric: Photometric,
    /// Bits of each sample, 1 to 16, or 32 and 64 for floating point.
    pub(super) bits: u32,
    /// Whether samples are floating-point numbers, otherwise whole ones from 0.
    pub(super) is_float: bool,
    pub(super) num_samples: usize,
    /// The sample that colours are multiplied by.
    pub(super) associated_alpha: Option<usize>,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Whether the first pixel is in the lowest bit of a byte.
    pub(super) is_fill_reversed: bool,
    /// Whether each sample has its own strips or tiles.
    pub(super) is_planar: bool,
    pub(super) is_tiled: bool,
    /// Width of a strip or tile in pixels.
    pub(super) chunk_width: u32,
    /// Height of a strip or tile in pixels; the last strip may be lower.
    pub(super) chunk_height: u32,
    /// Pixels that share a chroma sample: in a row and in a column. 1 and 1 except in YCbCr without JPEG.
    pub(super) subsampling: (u32, u32),
}

impl Layout {
    /// Reads the first directory of the file that starts at position 0.
    ///
    /// The error is the reason, also for unsupported pixel formats.
    pub(crate) fn read(reader: &mut (impl Read + Seek)) -> Result<Self, String> {
        let directory = Directory::read(reader)?;
        let mut number = |tag: u16| directory.integer(reader, tag);
        let stated =
            |name: &str, value: Option<u64>| value.ok_or_else(|| format!("the TIFF states no {name}"));
        let side =
            |value: u64| u32::try_from(value).map_err(|_| format!("a side of {value} pixels is too long"));
        let width = side(stated("width", number(tag::WIDTH)?)?)?;
        let height = side(stated("height", number(tag::HEIGHT)?)?)?;
        let photometric = Photometric::new(stated("colour interpretation", number(tag::PHOTOMETRIC)?)?)?;
        let compression = Compression::new(number(tag::COMPRESSION)?.unwrap_or(1))?;
        let num_samples = number(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let predictor = match number(tag::PREDICTOR)?.unwrap_or(1) {
            1 => Predictor::None,
            2 => Predictor::Horizontal,
            3 => Predictor::FloatingPoint,
            other => return Err(format!("TIFFs of the predictor {other} are not supported")),
        };
        let is_fill_reversed = number(tag::FILL_ORDER)?.unwrap_or(1) == 2;
        let is_planar = number(tag::PLANAR_CONFIGURATION)?.unwrap_or(1) == 2 && num_samples > 1;
        let ink_set = number(tag::INK_SET)?.unwrap_or(1);
        let is_tiled = directory.has(tag::TILE_OFFSETS) && !directory.has(tag::STRIP_OFFSETS);
        let (chunk_width, chunk_height) = if is_tiled {
            let (width, height) = (number(tag::TILE_WIDTH)?, number(tag::TILE_HEIGHT)?);
            (side(stated("tile width", width)?)?, side(stated("tile height", height)?)?)
        } else {
            let rows = number(tag::ROWS_PER_STRIP)?.unwrap_or(u64::MAX).min(height.into());
            (width, rows as u32)
        };
        if (chunk_width == 0 || chunk_height == 0) && width > 0 && height > 0 {
            return Err("the TIFF states empty strips or tiles".into());
        }
        let colors = photometric.num_samples();
        if num_samples > MAX_SAMPLES || (num_samples as usize) < colors {
            return Err(format!("a TIFF of {num_samples} samples a pixel is not supported for its colours"));
        }
        let num_samples = num_samples as usize;
        let (bits, is_float) = Self::read_sample_kind(&directory, reader, num_samples)?;
        let extra_samples = directory.integers(reader, tag::EXTRA_SAMPLES)?.unwrap_or_default();
        let associated_alpha = (extra_samples.first() == Some(&1) && num_samples > colors).then_some(colors);
        let subsampling = match directory.integers(reader, tag::YCBCR_SUBSAMPLING)?.as_deref() {
            _ if photometric != Photometric::YCbCr || compression == Compression::Jpeg => (1, 1),
            None => (2, 2),
            Some([horizontal @ (1 | 2 | 4), vertical @ (1 | 2 | 4)]) => {
                (*horizontal as u32, *vertical as u32)
            }
            Some(_) => return Err("the TIFF's chroma subsampling is not supported".into()),
        };
        let layout = Self {
            width,
            height,
            photometric,
            bits,
            is_float,
            num_samples,
            associated_alpha,
            compression,
            predictor,
            is_fill_reversed,
            is_planar,
            is_tiled,
            chunk_width,
            chunk_height,
            subsampling,
            directory,
        };
        layout.check(ink_set)?;
        Ok(layout)
    }

    /// Bits of each sample and whether they are floating-point numbers.
    fn read_sample_kind(
        directory: &Directory,
        reader: &mut (impl Read + Seek),
        num_samples: usize,
    ) -> Result<(u32, bool), String> {
        let bits = directory.integers(reader, tag::BITS_PER_SAMPLE)?.unwrap_or_else(|| vec![1]);
        let bits = &bits[..bits.len().min(num_samples)];
        let formats = directory.integers(reader, tag::SAMPLE_FORMAT)?.unwrap_or_else(|| vec![1]);
        let formats = &formats[..formats.len().min(num_samples)];
        let (Some(&depth), Some(&format)) = (bits.first(), formats.first()) else {
            return Err("the TIFF states no samples".into());
        };
        if bits.iter().any(|other| *other != depth) || formats.iter().any(|other| *other != format) {
            return Err("TIFFs with samples of several kinds are not supported".into());
        }
        match (format, depth) {
            (1 | 4, 1..=16) => Ok((depth as u32, false)),
            (3, 32 | 64) => Ok((depth as u32, true)),
            (1 | 4, _) => Err(format!("TIFFs of {depth} bits per sample are not supported")),
            (2, _) => Err(format!("TIFFs of signed samples of {depth} bits are not supported")),
            (3, _) => Err(format!("TIFFs of floating-point samples of {depth} bits are not supported")),
            _ => Err("TIFFs of complex samples are not supported".into()),
        }
    }

    /// Refuses unsupported combinations.
    fn check(&self, ink_set: u64) -> Result<(), String> {
        let is_grey = matches!(self.photometric, Photometric::BlackIsZero | Photometric::WhiteIsZero);
        let problem = if self.is_float && !is_grey && self.photometric != Photometric::Rgb {
            "floating-point samples that are neither grey nor RGB"
        } else if self.is_float && self.associated_alpha.is_some() {
            "floating-point samples multiplied by alpha"
        } else if self.photometric == Photometric::Cmyk && ink_set != 1 {
            "inks other than CMYK"
        } else if self.photometric == Photometric::YCbCr && self.bits != 8 {
            "YCbCr of other than 8 bits"
        } else if self.subsampling != (1, 1) && (self.is_planar || self.predictor != Predictor::None) {
            "subsampled YCbCr in planes or with a predictor"
        } else if self.subsampling != (1, 1) && self.num_samples != 3 {
            "subsampled YCbCr with other samples"
        } else if self.subsampling != (1, 1)
            && self.is_tiled
            && !(self.chunk_width.is_multiple_of(self.subsampling.0)
                && self.chunk_height.is_multiple_of(self.subsampling.1))
        {
            "subsampled YCbCr in tiles that are no multiple of it"
        } else if self.compression == Compression::Jpeg && self.bits != 8 {
            "JPEG of other than 8 bits"
        } else if self.compression == Compression::Jpeg && self.predictor != Predictor::None {
            "JPEG with a predictor"
        } else if self.compression == Compression::CcittGroup4 && (self.bits != 1 || self.num_samples != 1) {
            "CCITT group 4 with more than one bit a pixel"
        } else if self.predictor == Predictor::Horizontal && (self.is_float || !matches!(self.bits, 8 | 16)) {
            "a horizontal predictor for other than 8 and 16 bits"
        } else if self.predictor == Predictor::FloatingPoint && !self.is_float {
            "a floating-point predictor for whole numbers"
        } else if self.photometric == Photometric::Palette && self.bits > 8 {
            "palettes of more than 8 bits"
        } else {
            return Ok(());
        };
        Err(format!("TIFFs of {problem} are not supported"))
    }

    pub(super) fn byte_order(&self) -> ByteOrder {
        self.directory.byte_order
    }

    /// Strips or tiles side by side.
    pub(super) fn chunks_across(&self) -> usize {
        self.width.div_ceil(self.chunk_width) as usize
    }

    /// Strips or tiles of one plane.
    pub(super) fn chunks_per_plane(&self) -> usize {
        self.chunks_across().saturating_mul(self.height.div_ceil(self.chunk_height) as usize)
    }

    /// 1, or as many as there are samples.
    pub(super) fn num_planes(&self) -> usize {
        if self.is_planar { self.num_samples } else { 1 }
    }

    /// Samples of a pixel within one plane.
    pub(super) fn samples_per_plane(&self) -> usize {
        if self.is_planar { 1 } else { self.num_samples }
    }

    /// Bytes of a row of a strip or tile; of subsampled YCbCr, of the rows that share their chroma.
    pub(super) fn row_bytes(&self) -> Option<u64> {
        if self.subsampling != (1, 1) {
            let (horizontal, vertical) = self.subsampling;
            return Some(
                u64::from(self.chunk_width.div_ceil(horizontal)) * u64::from(horizontal * vertical + 2),
            );
        }
        let bits = u64::from(self.chunk_width)
            .checked_mul(u64::from(self.bits) * self.samples_per_plane() as u64)?;
        Some(bits.div_ceil(8))
    }

    /// Bytes of the first `num_rows` rows of a strip or tile.
    pub(super) fn bytes_of_rows(&self, num_rows: u32) -> Option<u64> {
        self.row_bytes()?.checked_mul(num_rows.div_ceil(self.subsampling.1).into())
    }

    /// Bytes of the strips or tiles that are held at once; `None` for more than there can be.
    pub(crate) fn chunk_bytes(&self) -> Option<u64> {
        let rows = self.chunk_height.min(self.height);
        self.bytes_of_rows(rows)?.checked_mul(self.num_planes() as u64)
    }
}
