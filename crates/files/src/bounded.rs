//! Input that ends: a path may lead to a device that does not.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The bytes of the file at `path`, of which there may be at most `max_bytes`.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`]; the system's answer.
pub fn read_bounded(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// As [`read_bounded`] for text in UTF-8.
///
/// # Errors
/// As [`read_bounded`], and [`ErrorKind::InvalidData`].
pub fn read_text(path: &Path, max_bytes: u64) -> Result<String> {
    String::from_utf8(read_bounded(path, max_bytes)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// Text of any length, in lines of at most `max_bytes` each.
#[derive(Debug)]
pub struct BoundedLines<R> {
    reader: R,
    max_bytes: u64,
    line_bytes: u64,
}

impl<R> BoundedLines<R> {
    /// Reads what `reader` reads.
    pub fn new(reader: R, max_bytes: u64) -> Self {
        Self { reader, max_bytes, line_bytes: 0 }
    }
}

impl<R: Read> Read for BoundedLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let num_read = self.reader.read(buffer)?;
        for line in buffer[..num_read].split_inclusive(|&byte| byte == b'\n') {
            self.line_bytes += line.len() as u64;
            if self.line_bytes > self.max_bytes {
                let reason = format!("a line is longer than {} bytes", self.max_bytes);
                return Err(Error::new(ErrorKind::InvalidData, reason));
            }
            if line.ends_with(b"\n") {
                self.line_bytes = 0;
            }
        }
        Ok(num_read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_read_up_to_their_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_text(&path, 5).unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(read_bounded(&folder.path().join("b.txt"), 1).is_err());
    }

    #[test]
    fn lines_have_a_bound_and_files_have_none() {
        let text = "123\n\n4567\n89";
        let mut read = String::new();
        BoundedLines::new(text.as_bytes(), 5).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        for (text, max_bytes) in [(text, 4), ("12345", 4), ("1\n12345\n", 4)] {
            assert!(BoundedLines::new(text.as_bytes(), max_bytes).read_to_string(&mut read).is_err());
        }
        // A line that comes in pieces.
        let pieces = "123".as_bytes().chain("45".as_bytes());
        assert!(BoundedLines::new(pieces, 4).read_to_end(&mut Vec::new()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn devices_without_end_are_refused() {
        let zeros = Path::new("/dev/zero");
        assert_eq!(read_bounded(zeros, 1 << 20).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let lines = BoundedLines::new(File::open(zeros).unwrap(), 1 << 20);
        assert!(lines.take(1 << 30).read_to_end(&mut Vec::new()).is_err());
    }
}
