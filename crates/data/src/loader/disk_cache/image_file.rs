//! A decoded image as a file.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::decode::rgb_image::RgbImage8;

/// The first bytes of every file, whatever the version of the format.
const MAGIC: [u8; 7] = *b"DCRGB\0\0";
/// Version of the format, the byte after [`MAGIC`].
const VERSION: u8 = 3;
/// Extension of the files.
const EXTENSION: &str = "rgb";
/// Pixels up to this many bytes are read at once. More are compared with their checksum first, which takes no
/// memory: a file with holes may be of any length.
const MAX_UNCHECKED_BYTES: u64 = 16 << 20;

/// Key of a decoded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheKey {
    bytes: Vec<u8>,
    max_pixels: u64,
    shrink_to: Option<u32>,
}

impl CacheKey {
    /// Of the image of this [`version`](crate::ImageSource::version), with at most `max_pixels`, shrunk to
    /// `shrink_to`.
    pub(crate) fn new(version: u128, max_pixels: u64, shrink_to: Option<u32>) -> Self {
        let mut bytes = version.to_le_bytes().to_vec();
        bytes.extend(shrink_to.unwrap_or(0).to_le_bytes());
        // An image that another bound refuses must not come from the cache.
        bytes.extend(max_pixels.to_le_bytes());
        Self { bytes, max_pixels, shrink_to }
    }

    pub(super) fn file_name(&self) -> String {
        format!("{:032x}.{EXTENSION}", xxh3_128(&self.bytes))
    }

    /// Everything before the numbers.
    fn start(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend((self.bytes.len() as u32).to_le_bytes());
        bytes.extend(&self.bytes);
        bytes
    }
}

/// Everything before the pixels.
pub(super) fn header(key: &CacheKey, image: &RgbImage8) -> Vec<u8> {
    let mut bytes = key.start();
    bytes.extend(image.width.to_le_bytes());
    bytes.extend(image.height.to_le_bytes());
    bytes.extend(crc32fast::hash(&image.pixels).to_le_bytes());
    bytes
}

/// The image of a file that is whole and of this key.
pub(super) fn read_image(path: &Path, key: &CacheKey) -> Option<RgbImage8> {
    // Opening a pipe would wait forever.
    let num_file_bytes = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    let mut file = File::open(path).ok()?;
    let expected = key.start();
    let mut header = vec![0; expected.len() + 12];
    file.read_exact(&mut header).ok()?;
    let numbers: &[[u8; 4]; 3] = header.strip_prefix(expected.as_slice())?.as_chunks().0.as_array()?;
    let [width, height, checksum] = numbers.map(u32::from_le_bytes);
    let num_pixels = u64::from(width) * u64::from(height);
    let is_allowed = num_pixels >= 1
        && num_pixels <= key.max_pixels
        && key.shrink_to.is_none_or(|side| width.min(height) <= side);
    let num_bytes = num_pixels.checked_mul(3).filter(|_| is_allowed)?;
    if num_file_bytes.checked_sub(header.len() as u64) != Some(num_bytes) {
        return None;
    }
    if num_bytes > MAX_UNCHECKED_BYTES {
        if checksum_of(&mut file)? != checksum {
            return None;
        }
        file.seek(SeekFrom::Start(header.len() as u64)).ok()?;
    }
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(usize::try_from(num_bytes).ok()?).ok()?;
    file.take(num_bytes).read_to_end(&mut pixels).ok()?;
    let image = RgbImage8 { width, height, pixels };
    (image.validate().is_ok() && crc32fast::hash(&image.pixels) == checksum).then_some(image)
}

/// CRC-32 of the rest of a file.
fn checksum_of(file: &mut File) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hasher.finalize()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Whether a file name is that of an image in the cache.
pub(super) fn is_image_name(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.split_at_checked(32).is_some_and(|(digits, rest)| {
        digits.iter().all(is_digit) && rest.strip_prefix(b".") == Some(EXTENSION.as_bytes())
    })
}

/// Whether the content of a file begins as that of every image in the cache.
pub(super) fn is_image_file(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == MAGIC
}
