//! Decoded images that are kept in files, from one run to the next.

mod image_file;
mod used_bytes;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use self::image_file::CacheKey;
use self::image_file::{header, is_image_file, is_image_name, read_image};
use self::used_bytes::{FILE_BYTES, UsedBytes};
use crate::decode::rgb_image::RgbImage8;
use crate::error::DataError;

/// Where decoded images are kept on disk, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskCacheConfig {
    /// Folder of the files; made if it is not there. Runs may share it.
    pub folder: PathBuf,
    /// Most bytes of all files together, whichever run writes them.
    pub max_bytes: u64,
}

/// A folder with a file for each image: the first that fit.
///
/// A file is a magic number and a version in 8 bytes, the length of its key in 4 bytes and the key (which
/// version of which image, within which bound, shrunk to what), width and height in 4 bytes each, a CRC-32 of
/// the pixels, and the pixels `[height, width, 3]`; all numbers in little-endian order. Any
/// other file is ignored. So files are written under their final names: an incomplete one, such as that of a
/// killed process, never passes as an image. It is counted at its full length from the start, and replaced
/// when its image is read again.
///
/// Several processes fill the folder at the same time; [`UsedBytes`] keeps their sum below the bound. Each
/// measures the folder when it opens it, so that a number that a killed process left wrong does not stay so.
#[derive(Debug)]
pub(crate) struct DiskCache {
    folder: PathBuf,
    max_bytes: u64,
    used: UsedBytes,
    /// Whether writing has failed; then it is not tried again.
    is_closed: AtomicBool,
}

impl DiskCache {
    /// Opens the folder and removes the oldest images until the rest fit. Files of other kinds are kept.
    pub(crate) fn open(config: &DiskCacheConfig) -> Result<Self, DataError> {
        let DiskCacheConfig { folder, max_bytes } = config;
        fs::create_dir_all(folder).map_err(|source| DataError::io("create", folder, source))?;
        fs::read_dir(folder).map_err(|source| DataError::io("read", folder, source))?;
        let cache = Self {
            folder: folder.clone(),
            max_bytes: *max_bytes,
            used: UsedBytes::new(folder),
            is_closed: AtomicBool::new(*max_bytes < FILE_BYTES),
        };
        if let Err(error) = cache.prune() {
            cache.close(&error);
        }
        Ok(cache)
    }

    /// The image that was kept under `key`.
    pub(crate) fn get(&self, key: &CacheKey) -> Option<RgbImage8> {
        read_image(&self.folder.join(key.file_name()), key)
    }

    /// Whether an image of this size would be kept just now.
    pub(crate) fn has_room(&self, width: u32, height: u32) -> bool {
        let pixel_bytes = u128::from(width) * u128::from(height) * 3;
        !self.is_closed.load(Ordering::Relaxed)
            && pixel_bytes <= u128::from(self.max_bytes.saturating_sub(self.used.latest()))
    }

    /// Keeps an image if it fits. A failed write is not a failure of the image: it is logged once.
    pub(crate) fn offer(&self, key: &CacheKey, image: &RgbImage8) {
        if self.has_room(image.width, image.height)
            && let Err(error) = self.write(key, image)
        {
            self.close(&error);
        }
    }

    fn close(&self, error: &io::Error) {
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            log::warn!("no more images are kept in {}: {error}", self.folder.display());
        }
    }

    /// Removes the oldest images until the rest fit, and records the total.
    fn prune(&self) -> io::Result<()> {
        if self.max_bytes < FILE_BYTES {
            remove_oldest(image_files(&self.folder)?, 0);
            return Ok(());
        }
        let mut used = self.used.lock()?;
        // Where another program has such a file, the folder is left to it.
        used.read()?;
        let num_bytes = remove_oldest(image_files(&self.folder)?, self.max_bytes - FILE_BYTES);
        used.write(FILE_BYTES + num_bytes)
    }

    fn write(&self, key: &CacheKey, image: &RgbImage8) -> io::Result<()> {
        let header = header(key, image);
        let path = self.folder.join(key.file_name());
        let num_bytes = (header.len() + image.pixels.len()) as u64;
        let Some(mut file) = self.begin(key, &path, &header, num_bytes)? else { return Ok(()) };
        file.write_all(&image.pixels).inspect_err(|_| {
            drop(file);
            self.give_back(&path, num_bytes);
        })
    }

    /// Creates the file at `path` and sets its length; `None` where it does not fit or the image is there
    /// already.
    fn begin(&self, key: &CacheKey, path: &Path, header: &[u8], num_bytes: u64) -> io::Result<Option<File>> {
        let mut used = self.used.lock()?;
        let mut num_used = match used.read()? {
            Some(number) => number,
            None => FILE_BYTES + image_files(&self.folder)?.iter().map(|file| file.num_bytes).sum::<u64>(),
        };
        match fs::symlink_metadata(path) {
            Ok(_) if read_image(path, key).is_some() => return Ok(None),
            Ok(metadata) if !metadata.is_file() => return Ok(None),
            Ok(metadata) => {
                fs::remove_file(path)?;
                num_used = num_used.saturating_sub(metadata.len());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let num_after = num_used.saturating_add(num_bytes);
        if num_after > self.max_bytes {
            used.write(num_used)?;
            return Ok(None);
        }
        // Noted before it is there: a process that is killed in between leaves too large a number, not too
        // small a one.
        used.write(num_after)?;
        let made = File::create_new(path).and_then(|mut file| {
            file.write_all(header)?;
            file.set_len(num_bytes)?;
            Ok(file)
        });
        if made.is_err() {
            let _ = fs::remove_file(path);
            let _ = used.write(num_used);
        }
        made.map(Some)
    }

    /// Removes a file that could not be completed; what cannot be removed is measured when the folder is
    /// opened again.
    fn give_back(&self, path: &Path, num_bytes: u64) {
        if let Ok(mut used) = self.used.lock()
            && fs::remove_file(path).is_ok()
            && let Ok(Some(number)) = used.read()
        {
            let _ = used.write(number.saturating_sub(num_bytes));
        }
    }
}

/// A file with the name of an image. They sort by age, the oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ImageFile {
    modified: SystemTime,
    path: PathBuf,
    num_bytes: u64,
}

/// The files of a folder that have names of images.
fn image_files(folder: &Path) -> io::Result<Vec<ImageFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_image_name(entry.file_name().as_encoded_bytes()) {
            continue;
        }
        // One that has just vanished is none.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
            files.push(ImageFile { modified, path: entry.path(), num_bytes: metadata.len() });
        }
    }
    Ok(files)
}

/// Removes the oldest of `files` that are images by their content until the rest have at most `max_bytes`,
/// and returns the sum of the rest. Files that cannot be removed are kept.
fn remove_oldest(mut files: Vec<ImageFile>, max_bytes: u64) -> u64 {
    let mut num_bytes = files.iter().map(|file| file.num_bytes).sum();
    if num_bytes <= max_bytes {
        return num_bytes;
    }
    files.sort();
    for file in files {
        if num_bytes <= max_bytes {
            break;
        }
        let is_gone = match is_image_file(&file.path) {
            true => fs::remove_file(&file.path).is_ok(),
            false => !file.path.exists(),
        };
        if is_gone {
            num_bytes -= file.num_bytes;
        }
    }
    num_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::DEFAULT_MAX_PIXELS;
    use crate::source::folder::file_version;

    fn image(side: u32, value: u8) -> RgbImage8 {
        RgbImage8 { width: side, height: side, pixels: vec![value; (side * side * 3) as usize] }
    }

    fn open(folder: &Path, max_bytes: u64) -> DiskCache {
        DiskCache::open(&DiskCacheConfig { folder: folder.join("cache"), max_bytes }).unwrap()
    }

    fn key_of(path: &Path, shrink_to: Option<u32>) -> Option<CacheKey> {
        Some(CacheKey::new(file_version(path)?, DEFAULT_MAX_PIXELS, shrink_to))
    }

    /// Bytes of all files of a cache.
    fn num_bytes(cache: &DiskCache) -> u64 {
        let entries = fs::read_dir(&cache.folder).unwrap().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// Keys of files that differ in their content.
    fn keys(folder: &Path, count: u8) -> Vec<CacheKey> {
        let key = |number: u8| {
            let path = folder.join(format!("{number}.jpg"));
            fs::write(&path, vec![0; number.into()]).unwrap();
            key_of(&path, None).unwrap()
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
        // 300 bytes of pixels and 52 before them for each: two fit.
        let cache = open(folder.path(), 1000);
        let kept: Vec<bool> = keys.iter().map(|key| cache.get(key).is_some()).collect();
        assert_eq!(kept, [true, true, false]);
        assert!(other.exists());
    }

    #[test]
    fn only_images_of_a_cache_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let key = &keys(folder.path(), 1)[0];
        let cache = open(folder.path(), 1 << 20);
        cache.offer(key, &image(10, 1));
        let (ours, digits) = (cache.folder.join(key.file_name()), "0123456789abcdef0123456789abcdef");
        let content = fs::read(&ours).unwrap();
        let others = [
            ("photo.rgb".to_owned(), &content),
            (format!("{digits}.rgb"), &b"DCRGB is how mine begins".to_vec()),
            (format!("{}.rgb", digits.to_uppercase()), &content),
            (format!("{digits}.raw"), &content),
            (format!("{digits}0.rgb"), &content),
            (".writing-mine.tmp".to_owned(), &content),
        ];
        for (name, content) in &others {
            fs::write(cache.folder.join(name), content).unwrap();
        }
        let directory = cache.folder.join(format!("{}.rgb", "d".repeat(32)));
        fs::create_dir(&directory).unwrap();
        #[cfg(unix)]
        let link = cache.folder.join(format!("{}.rgb", "e".repeat(32)));
        #[cfg(unix)]
        std::os::unix::fs::symlink(cache.folder.join("photo.rgb"), &link).unwrap();
        for max_bytes in [100, 0] {
            open(folder.path(), max_bytes);
            assert!(!ours.exists());
            for (name, content) in &others {
                assert_eq!(&&fs::read(cache.folder.join(name)).unwrap(), content, "{name}");
            }
            assert!(directory.is_dir());
            #[cfg(unix)]
            assert!(link.is_symlink());
        }
    }

    #[test]
    fn a_folder_whose_account_is_another_programs_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let key = &keys(folder.path(), 1)[0];
        let cache = open(folder.path(), 1 << 20);
        cache.offer(key, &image(10, 1));
        fs::write(cache.folder.join("used-bytes.rgb"), "mine").unwrap();
        let cache = open(folder.path(), 100);
        assert!(cache.get(key).is_some() && !cache.has_room(1, 1));
        assert_eq!(fs::read(cache.folder.join("used-bytes.rgb")).unwrap(), b"mine");
    }

    #[test]
    fn several_at_once_keep_the_bound_and_every_image_they_keep() {
        const MAX_BYTES: u64 = 60_000;
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 120);
        // Neighbours offer some of the same images.
        let fill = |number: usize| {
            let cache = open(folder.path(), MAX_BYTES);
            for (value, key) in keys.iter().enumerate().cycle().skip(number * 13).take(60) {
                if cache.get(key).is_none() {
                    cache.offer(key, &image(20, value as u8));
                }
                assert!(num_bytes(&cache) <= MAX_BYTES);
            }
            assert!(!cache.is_closed.load(Ordering::Relaxed));
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || fill(number))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        let cache = open(folder.path(), MAX_BYTES);
        // Full but for less than one more.
        assert!(num_bytes(&cache) + 1400 > MAX_BYTES, "{}", num_bytes(&cache));
        assert_eq!(cache.used.latest(), num_bytes(&cache));
        let kept = keys.iter().enumerate().filter_map(|(value, key)| Some((value, cache.get(key)?)));
        let num_kept = kept.map(|(value, kept)| assert_eq!(kept, image(20, value as u8))).count();
        assert!(num_kept > 40, "{num_kept}");
    }

    #[test]
    fn several_that_remove_at_once_end_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 100);
        let full = open(folder.path(), 1 << 20);
        for _ in 0..5 {
            keys.iter().for_each(|key| full.offer(key, &image(10, 1)));
            std::thread::scope(|scope| {
                for bound in [3000, 5000, 7000, 9000] {
                    let folder = folder.path();
                    scope.spawn(move || open(folder, bound));
                }
            });
            let left = num_bytes(&full);
            assert!((2000..=3000).contains(&left), "{left}");
        }
    }

    #[test]
    fn what_a_killed_process_began_is_counted_read_by_nobody_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 2);
        let cache = open(folder.path(), 1 << 20);
        let begin = |key: &CacheKey| {
            let header = header(key, &image(20, 1));
            let path = cache.folder.join(key.file_name());
            cache.begin(key, &path, &header, header.len() as u64 + 1200).unwrap().unwrap();
            path
        };
        let path = begin(&keys[0]);
        assert_eq!(cache.used.latest(), num_bytes(&cache));
        assert_eq!(cache.get(&keys[0]), None);
        let reopened = open(folder.path(), 1 << 20);
        assert_eq!(reopened.used.latest(), num_bytes(&cache));
        reopened.offer(&keys[0], &image(20, 1));
        assert_eq!(cache.get(&keys[0]), Some(image(20, 1)));
        assert_eq!(reopened.used.latest(), num_bytes(&cache));
        // Only images and the count of bytes.
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 2);
        assert!(path.exists() && !open(folder.path(), 100).has_room(20, 20) && !path.exists());
        let path = begin(&keys[1]);
        assert!(path.exists() && !open(folder.path(), 100).has_room(20, 20) && !path.exists());
    }

    #[test]
    fn an_account_that_is_lost_is_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 3);
        let cache = open(folder.path(), 3000);
        cache.offer(&keys[0], &image(20, 1));
        fs::remove_file(cache.folder.join("used-bytes.rgb")).unwrap();
        cache.offer(&keys[1], &image(20, 1));
        cache.offer(&keys[2], &image(20, 1));
        assert_eq!(cache.used.latest(), num_bytes(&cache));
        assert!(cache.get(&keys[1]).is_some() && cache.get(&keys[2]).is_none());
    }

    #[test]
    fn another_state_of_the_file_or_another_bound_has_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        fs::write(&path, "one").unwrap();
        let key = key_of(&path, None).unwrap();
        assert_eq!(key_of(&path, None).unwrap(), key);
        assert_ne!(key_of(&path, Some(256)).unwrap().file_name(), key.file_name());
        let bounded = CacheKey::new(file_version(&path).unwrap(), 1000, None);
        assert_ne!(bounded.file_name(), key.file_name());
        fs::write(&path, "other").unwrap();
        assert_ne!(key_of(&path, None).unwrap().file_name(), key.file_name());
        fs::remove_file(&path).unwrap();
        assert_eq!(key_of(&path, None), None);
    }

    #[test]
    fn sizes_that_a_file_only_claims_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        fs::write(&path, "one").unwrap();
        let cache = open(folder.path(), 1 << 20);
        // The last is allowed, but a hole.
        let cases = [(u32::MAX, u32::MAX), (0, 0), (1 << 31, 1 << 31), (65535, 21845), (4000, 4000)];
        for shrink_to in [None, Some(96)] {
            let key = key_of(&path, shrink_to).unwrap();
            cache.offer(&key, &image(20, 7));
            let file = cache.folder.join(key.file_name());
            let whole = fs::read(&file).unwrap();
            let numbers = whole.len() - 1200 - 12;
            for (width, height) in cases {
                let mut bytes = whole.clone();
                bytes[numbers..numbers + 4].copy_from_slice(&width.to_le_bytes());
                bytes[numbers + 4..numbers + 8].copy_from_slice(&height.to_le_bytes());
                fs::write(&file, bytes).unwrap();
                let stated = u128::from(width) * u128::from(height) * 3 + numbers as u128 + 12;
                if stated < 1 << 33 {
                    File::options().write(true).open(&file).unwrap().set_len(stated as u64).unwrap();
                }
                assert_eq!(cache.get(&key), None, "{width} x {height}");
            }
        }
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
