//! Total size of a folder that several processes fill, in a file that they lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Name of the file.
const FILE_NAME: &str = "used-bytes.rgb";
/// The first bytes of the file. They end in the version of the format; the number follows in little-endian
/// order.
const MAGIC: [u8; 8] = *b"DCUSED\0\x01";
/// Length of the file.
pub(super) const FILE_BYTES: u64 = 16;
/// How long a process waits for one that holds the lock and may have been stopped: it is held for
/// milliseconds, and for seconds where a large folder is measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes of a folder, its own file among them.
#[derive(Debug)]
pub(super) struct UsedBytes {
    path: PathBuf,
    /// Some file systems have locks between processes only.
    threads: Mutex<()>,
    /// The number when this process last saw it.
    latest: AtomicU64,
}

/// The right to change the number.
#[derive(Debug)]
pub(super) struct LockedBytes<'a> {
    file: File,
    latest: &'a AtomicU64,
    _threads: MutexGuard<'a, ()>,
}

impl UsedBytes {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE_NAME), threads: Mutex::new(()), latest: AtomicU64::new(0) }
    }

    /// The number when this process last saw it.
    pub(super) fn latest(&self) -> u64 {
        self.latest.load(Ordering::Relaxed)
    }

    /// Keeps other processes and threads from changing the number and the folder. Where the file system has
    /// no locks, only the threads of this process are kept from it.
    ///
    /// # Errors
    /// The system's answer; [`ErrorKind::TimedOut`] where another process keeps the lock.
    pub(super) fn lock(&self) -> Result<LockedBytes<'_>> {
        self.lock_within(PATIENCE)
    }

    fn lock_within(&self, patience: Duration) -> Result<LockedBytes<'_>> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(foreign());
        }
        // Opened anew each time: whoever empties the folder makes another file.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        let begin = Instant::now();
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            if begin.elapsed() >= patience {
                return Err(Error::new(ErrorKind::TimedOut, "another process holds its lock"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(LockedBytes { file, latest: &self.latest, _threads: threads })
    }
}

impl LockedBytes<'_> {
    /// The number, or `None` in a new file.
    ///
    /// # Errors
    /// The system's answer; where the file is not one of these.
    pub(super) fn read(&mut self) -> Result<Option<u64>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        (&mut self.file).take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if let Some(&number) = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.as_array()) {
            let number = u64::from_le_bytes(number);
            self.latest.store(number, Ordering::Relaxed);
            return Ok(Some(number));
        }
        // Zeros are what a power cut may leave.
        if bytes.len() as u64 <= FILE_BYTES && bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        Err(foreign())
    }

    /// Changes the number.
    ///
    /// # Errors
    /// The system's answer.
    pub(super) fn write(&mut self, number: u64) -> Result<()> {
        self.latest.store(number, Ordering::Relaxed);
        let bytes = [MAGIC, number.to_le_bytes()].concat();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)
    }
}

fn foreign() -> Error {
    Error::other(format!("{FILE_NAME} is another program's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_same_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [UsedBytes::new(folder.path()), UsedBytes::new(folder.path())];
        assert_eq!(one.lock().unwrap().read().unwrap(), None);
        one.lock().unwrap().write(7).unwrap();
        assert_eq!((one.latest(), other.latest()), (7, 0));
        assert_eq!(other.lock().unwrap().read().unwrap(), Some(7));
        assert_eq!(other.latest(), 7);
        // Zeros are measured anew.
        fs::write(folder.path().join(FILE_NAME), [0; 16]).unwrap();
        assert_eq!(one.lock().unwrap().read().unwrap(), None);
    }

    #[test]
    fn a_lock_that_is_never_let_go_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [UsedBytes::new(folder.path()), UsedBytes::new(folder.path())];
        let held = one.lock().unwrap();
        let error = other.lock_within(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(held);
        other.lock_within(Duration::from_millis(20)).unwrap();
    }

    #[test]
    fn files_of_others_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let used = UsedBytes::new(folder.path());
        for content in ["mine", "mine, and longer than that"] {
            fs::write(&path, content).unwrap();
            assert!(used.lock().unwrap().read().is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(used.lock().is_err());
    }
}
