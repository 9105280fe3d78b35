//! Decoded images that are kept in files, from one run to the next.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_128;

use crate::error::DataError;
use crate::rgb_image::RgbImage8;

/// The first bytes of every file. They end in the version of the format.
const MAGIC: [u8; 8] = *b"DCRGB\0\0\x01";
/// Extension of the files.
const EXTENSION: &str = "rgb";

/// Where decoded images are kept on disk, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskCacheConfig {
    /// Folder of the files; made if it is not there. Runs may share it.
    pub folder: PathBuf,
    /// Most bytes of all files together.
    pub max_bytes: u64,
}

/// A folder with a file for each image: the first that fit.
///
/// A file is [`MAGIC`], the length of its key in 4 bytes and the key (of what file, in which state, shrunk to what), width and
/// height in 4 bytes each, a CRC-32 of the pixels, and the pixels `[height, width, 3]`; all numbers in little-endian order. A
/// file that is anything else counts as not there.
#[derive(Debug)]
pub(crate) struct DiskCache {
    folder: PathBuf,
    /// Bytes that may still be written.
    free_bytes: AtomicU64,
    /// Whether writing has failed; then no more is tried.
    is_closed: AtomicBool,
}

/// What tells a decoded image from every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheKey(Vec<u8>);

impl CacheKey {
    /// Of the image file at `path` as it is now, shrunk to `shrink_to`; `None` where its state cannot be told.
    pub(crate) fn new(path: &Path, shrink_to: Option<u32>) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
        let path = fs::canonicalize(path).ok()?;
        let mut key = Vec::new();
        key.extend(metadata.len().to_le_bytes());
        key.extend(modified.to_le_bytes());
        key.extend(shrink_to.unwrap_or(0).to_le_bytes());
        key.extend(path.as_os_str().as_encoded_bytes());
        Some(Self(key))
    }

    fn file_name(&self) -> String {
        format!("{:032x}.{EXTENSION}", xxh3_128(&self.0))
    }
}

impl DiskCache {
    /// Opens the folder; the oldest files go until the rest fit.
    pub(crate) fn open(config: &DiskCacheConfig) -> Result<Self, DataError> {
        let DiskCacheConfig { folder, max_bytes } = config;
        let failed = |action| move |source| DataError::io(action, folder, source);
        fs::create_dir_all(folder).map_err(failed("create"))?;
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed("read"))? {
            let entry = entry.map_err(failed("read"))?;
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            // Another run may have removed it just now.
            let Ok(metadata) = entry.metadata() else { continue };
            files.push((metadata.modified().unwrap_or(UNIX_EPOCH), metadata.len(), path));
        }
        let mut num_bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        files.sort();
        let mut oldest = files.into_iter();
        while num_bytes > *max_bytes {
            let Some((_, length, path)) = oldest.next() else { break };
            fs::remove_file(&path).map_err(|source| DataError::io("remove", &path, source))?;
            num_bytes -= length;
        }
        Ok(Self {
            folder: folder.clone(),
            free_bytes: AtomicU64::new(max_bytes.saturating_sub(num_bytes)),
            is_closed: AtomicBool::new(false),
        })
    }

    /// The image that was kept under `key`.
    pub(crate) fn get(&self, key: &CacheKey) -> Option<RgbImage8> {
        let file = File::open(self.folder.join(key.file_name())).ok()?;
        read_image(BufReader::new(file), key)
    }

    /// Whether an image of this size would be kept just now.
    pub(crate) fn has_room(&self, width: u32, height: u32) -> bool {
        !self.is_closed.load(Ordering::Relaxed)
            && pixel_bytes(width, height) <= self.free_bytes.load(Ordering::Relaxed)
    }

    /// Keeps an image if it fits. That it cannot be written is no failure of the image: a warning tells it once.
    pub(crate) fn offer(&self, key: &CacheKey, image: &RgbImage8) {
        let num_bytes = header(key, image).len() as u64 + pixel_bytes(image.width, image.height);
        let take = |free: u64| free.checked_sub(num_bytes);
        if self.is_closed.load(Ordering::Relaxed)
            || self.free_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err()
        {
            return;
        }
        if let Err(error) = self.write(key, image)
            && !self.is_closed.swap(true, Ordering::Relaxed)
        {
            log::warn!("no more images are kept in {}: {error}", self.folder.display());
        }
    }

    fn write(&self, key: &CacheKey, image: &RgbImage8) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&header(key, image))?;
        file.write_all(&image.pixels)?;
        file.persist(self.folder.join(key.file_name()))?;
        Ok(())
    }
}

fn pixel_bytes(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height) * 3
}

/// Everything before the pixels.
fn header(key: &CacheKey, image: &RgbImage8) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((key.0.len() as u32).to_le_bytes());
    bytes.extend(&key.0);
    bytes.extend(image.width.to_le_bytes());
    bytes.extend(image.height.to_le_bytes());
    bytes.extend(crc32fast::hash(&image.pixels).to_le_bytes());
    bytes
}

/// The image of a file that is whole and of this key.
fn read_image(mut file: impl Read, key: &CacheKey) -> Option<RgbImage8> {
    let mut expected = MAGIC.to_vec();
    expected.extend((key.0.len() as u32).to_le_bytes());
    expected.extend(&key.0);
    let mut start = vec![0; expected.len()];
    file.read_exact(&mut start).ok()?;
    if start != expected {
        return None;
    }
    let mut number = || {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).ok().map(|()| u32::from_le_bytes(bytes))
    };
    let (width, height, checksum) = (number()?, number()?, number()?);
    let num_bytes = pixel_bytes(width, height);
    let mut pixels = Vec::new();
    // The length is only believed as far as there are bytes.
    file.take(num_bytes).read_to_end(&mut pixels).ok()?;
    let image = RgbImage8 { width, height, pixels };
    (image.validate().is_ok() && crc32fast::hash(&image.pixels) == checksum).then_some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(side: u32, value: u8) -> RgbImage8 {
        RgbImage8 { width: side, height: side, pixels: vec![value; (side * side * 3) as usize] }
    }

    fn open(folder: &Path, max_bytes: u64) -> DiskCache {
        DiskCache::open(&DiskCacheConfig { folder: folder.join("cache"), max_bytes }).unwrap()
    }

    /// Keys of files that differ in their content.
    fn keys(folder: &Path, count: u8) -> Vec<CacheKey> {
        let key = |number: u8| {
            let path = folder.join(format!("{number}.jpg"));
            fs::write(&path, vec![0; number.into()]).unwrap();
            CacheKey::new(&path, None).unwrap()
        };
        (0..count).map(key).collect()
    }

    #[test]
    fn images_come_back_after_a_restart_and_no_more_than_fit() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 4);
        // 1200 bytes of pixels for a side of 20, and fewer than 300 before them.
        let cache = open(folder.path(), 3000);
        cache.offer(&keys[0], &image(20, 1));
        cache.offer(&keys[1], &image(100, 2));
        cache.offer(&keys[2], &image(20, 3));
        cache.offer(&keys[3], &image(20, 4));
        for _ in 0..2 {
            let cache = open(folder.path(), 3000);
            assert_eq!(cache.get(&keys[0]), Some(image(20, 1)));
            assert_eq!(cache.get(&keys[1]), None);
            assert_eq!(cache.get(&keys[2]), Some(image(20, 3)));
            assert_eq!(cache.get(&keys[3]), None);
        }
        assert!(!cache.has_room(20, 20) && cache.has_room(1, 1));
    }

    #[test]
    fn a_smaller_bound_removes_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 3);
        let cache = open(folder.path(), 1 << 20);
        for (age, key) in keys.iter().enumerate() {
            cache.offer(key, &image(10, age as u8));
            let file = File::options().append(true).open(cache.folder.join(key.file_name())).unwrap();
            file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(100 - age as u64)).unwrap();
        }
        let other = cache.folder.join("notes.txt");
        fs::write(&other, "not ours").unwrap();
        let cache = open(folder.path(), 1100);
        let kept: Vec<bool> = keys.iter().map(|key| cache.get(key).is_some()).collect();
        assert_eq!(kept, [true, true, false]);
        assert!(other.exists());
    }

    #[test]
    fn another_state_of_the_file_has_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        fs::write(&path, "one").unwrap();
        let key = CacheKey::new(&path, None).unwrap();
        assert_eq!(CacheKey::new(&path, None).unwrap(), key);
        assert_ne!(CacheKey::new(&path, Some(256)).unwrap(), key);
        fs::write(&path, "other").unwrap();
        assert_ne!(CacheKey::new(&path, None).unwrap(), key);
        fs::remove_file(&path).unwrap();
        assert_eq!(CacheKey::new(&path, None), None);
    }

    #[test]
    fn a_damaged_file_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let key = &keys(folder.path(), 1)[0];
        let cache = open(folder.path(), 1 << 20);
        cache.offer(key, &image(10, 7));
        let path = cache.folder.join(key.file_name());
        let bytes = fs::read(&path).unwrap();
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(cache.get(key), None, "byte {place}");
        }
        for length in [0, 4, 30, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(cache.get(key), None, "{length} bytes");
        }
        fs::write(&path, &bytes).unwrap();
        assert_eq!(cache.get(key), Some(image(10, 7)));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cache"), "a file").unwrap();
        let config = DiskCacheConfig { folder: folder.path().join("cache"), max_bytes: 1 };
        let error = DiskCache::open(&config).unwrap_err();
        assert!(error.to_string().contains("cache"), "{error}");
    }

    #[test]
    fn a_folder_that_vanishes_costs_no_image() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 2);
        let cache = open(folder.path(), 1 << 20);
        fs::remove_dir_all(&cache.folder).unwrap();
        cache.offer(&keys[0], &image(4, 1));
        assert!(cache.get(&keys[0]).is_none() && !cache.has_room(1, 1));
    }
}
