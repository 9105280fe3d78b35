//! Digests of files: XXH3 with 128 bits, which finds damage and mixtures, not intent.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

/// Takes up what is written to it.
#[derive(Default)]
pub(crate) struct DigestWriter {
    hasher: Xxh3,
}

impl DigestWriter {
    /// The digest in hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        format!("{:032x}", self.hasher.digest128())
    }
}

impl Write for DigestWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.hasher.update(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Digest of the bytes of a file.
pub(crate) fn file_digest(path: &Path) -> io::Result<String> {
    let mut writer = DigestWriter::default();
    io::copy(&mut File::open(path)?, &mut writer)?;
    Ok(writer.finish())
}
