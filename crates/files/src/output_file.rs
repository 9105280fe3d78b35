//! Files written through a temporary one.

use std::fs::{self, File};
use std::io::{BufWriter, Error, ErrorKind, Result, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::destination::{Destination, folder_above};
use crate::folders::sync_folder;
use crate::leftovers::{new_temporary, remove_leftovers_once};

/// Writes the file that `path` leads to, by way of a temporary one in its folder, which is flushed to disk
/// and then renamed. The file that was there before stays until then, and for good where writing fails; its
/// permissions pass to the new one, which otherwise has those that the umask allows.
///
/// A link is followed: the file it leads to is written, even where there is none yet. Devices, pipes and
/// files that are open already (`/dev/stdout`) are written to directly.
///
/// # Errors
/// The system's answer to the first step that failed.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> Result<()>) -> Result<()> {
    let fill = |file: &File| {
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        writer.flush()
    };
    match Destination::open(path)? {
        Destination::Stream(file) => fill(&file),
        Destination::Regular(path) => {
            let temporary = temporary_for(&path)?;
            fill(temporary.as_file())?;
            persist(temporary, &path)
        }
    }
}

/// A file that is written step by step and gets its name at the end. Dropped before, it leaves nothing.
///
/// Links, devices and permissions are treated as by [`write_whole`]; since devices and pipes have no places
/// to seek to, bytes for these wait in a temporary file until [`finish`](Self::finish).
///
/// ```
/// use std::io::{Seek, SeekFrom, Write};
///
/// use deepcluster_files::OutputFile;
///
/// # fn main() -> std::io::Result<()> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("rows.bin");
/// let mut file = OutputFile::create(&path)?;
/// file.write_all(&[0, 7, 8, 9])?;
/// file.seek(SeekFrom::Start(0))?;
/// file.write_all(&[3])?;
/// assert!(!path.exists());
/// file.finish()?;
/// assert_eq!(std::fs::read(&path)?, [3, 7, 8, 9]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OutputFile {
    temporary: NamedTempFile,
    destination: Destination,
}

impl OutputFile {
    /// Begins the file that will be `path`.
    ///
    /// # Errors
    /// The system's answer, such as for a folder that does not exist.
    pub fn create(path: &Path) -> Result<Self> {
        let destination = Destination::open(path)?;
        let temporary = match &destination {
            Destination::Regular(path) => temporary_for(path)?,
            Destination::Stream(_) => new_temporary(&std::env::temp_dir())?,
        };
        Ok(Self { temporary, destination })
    }

    /// The temporary file, for writers that take a path. They must write to it in place and not replace it.
    pub fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// The system's answer; then there is no new file.
    pub fn finish(self) -> Result<()> {
        match self.destination {
            Destination::Regular(path) => persist(self.temporary, &path),
            Destination::Stream(mut stream) => {
                let mut written = self.temporary.reopen()?;
                std::io::copy(&mut written, &mut stream).map(|_| ())
            }
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.temporary.flush()
    }
}

impl Seek for OutputFile {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        self.temporary.seek(position)
    }
}

fn temporary_for(path: &Path) -> Result<NamedTempFile> {
    let folder = folder_above(path);
    remove_leftovers_once(folder);
    new_temporary(folder)
}

/// Gives a complete file its name, with the permissions of the file it replaces.
fn persist(temporary: NamedTempFile, path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => temporary.as_file().set_permissions(metadata.permissions())?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(Error::from)?;
    sync_folder(folder_above(path))
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn files_are_whole_or_what_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, |writer| writer.write_all(b"first")).unwrap();
        let failed = write_whole(&path, |writer| {
            writer.write_all(b"second")?;
            Err(Error::other("full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&folder.path().join("no/a.txt"), |_| Ok(())).is_err());
        assert!(write_whole(folder.path(), |_| Ok(())).is_err());
    }

    #[test]
    fn a_dropped_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = OutputFile::create(&folder.path().join("a.txt")).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
        use std::process::Command;

        use super::*;

        /// Both ways to write a file.
        type WriteFile = fn(&Path, &[u8]) -> Result<()>;
        const WAYS: [WriteFile; 2] = [
            |path, bytes| write_whole(path, |writer| writer.write_all(bytes)),
            |path, bytes| {
                let mut file = OutputFile::create(path)?;
                file.write_all(bytes)?;
                file.finish()
            },
        ];

        #[test]
        fn links_are_followed_and_stay() {
            for write in WAYS {
                let folder = tempfile::tempdir().unwrap();
                let (target, link, to_link) =
                    (folder.path().join("deep/target"), folder.path().join("link"), folder.path().join("to"));
                fs::create_dir(folder.path().join("deep")).unwrap();
                symlink("deep/target", &link).unwrap();
                symlink(&link, &to_link).unwrap();
                // The first write makes the file that the links lead to, the second replaces it.
                for bytes in [b"one", b"two"] {
                    write(&to_link, bytes).unwrap();
                    assert_eq!(fs::read(&target).unwrap(), bytes);
                    for link in [&link, &to_link] {
                        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
                    }
                }
                let circle = folder.path().join("circle");
                symlink("circle", &circle).unwrap();
                assert!(write(&circle, b"x").is_err());
                assert!(fs::symlink_metadata(&circle).unwrap().is_symlink());
            }
        }

        #[test]
        fn pipes_are_written_to_and_stay() {
            for write in WAYS {
                let folder = tempfile::tempdir().unwrap();
                let pipe = folder.path().join("pipe");
                assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
                let reader = std::thread::spawn({
                    let pipe = pipe.clone();
                    move || fs::read(pipe).unwrap()
                });
                write(&pipe, b"through").unwrap();
                assert_eq!(reader.join().unwrap(), b"through");
                assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            }
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn open_files_are_written_to_where_they_are() {
            use std::os::fd::AsRawFd;

            for write in WAYS {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(b"begun, ").unwrap();
                let path = format!("/dev/fd/{}", file.as_raw_fd());
                write(Path::new(&path), b"and gone on").unwrap();
                let mut text = String::new();
                file.seek(SeekFrom::Start(0)).unwrap();
                std::io::Read::read_to_string(&mut file, &mut text).unwrap();
                assert_eq!(text, "begun, and gone on");
            }
        }

        #[test]
        fn permissions_are_those_of_the_umask_or_of_the_file_before() {
            let folder = tempfile::tempdir().unwrap();
            // A file made plainly has what the umask of this process leaves.
            fs::write(folder.path().join("plain"), "").unwrap();
            let mode =
                |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
            for (number, write) in WAYS.into_iter().enumerate() {
                let name = format!("file{number}");
                let path = folder.path().join(&name);
                write(&path, b"x").unwrap();
                assert_eq!(mode(&name), mode("plain"));
                for private in [0o600, 0o640] {
                    fs::set_permissions(&path, fs::Permissions::from_mode(private)).unwrap();
                    write(&path, b"y").unwrap();
                    assert_eq!(mode(&name), private);
                }
            }
        }

        /// Needs root, who alone can make a device.
        #[test]
        fn devices_are_written_to_and_stay() {
            let folder = tempfile::tempdir().unwrap();
            let device = folder.path().join("null");
            let made = Command::new("mknod").args(["-m", "666"]).arg(&device).args(["c", "1", "3"]).output();
            if !made.is_ok_and(|made| made.status.success()) {
                eprintln!("skipped: making a device needs root");
                return;
            }
            for write in WAYS {
                write(&device, b"nothing").unwrap();
                assert!(fs::symlink_metadata(&device).unwrap().file_type().is_char_device());
            }
        }
    }
}
