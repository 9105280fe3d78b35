//! An encoded image: bytes in memory, or a file from which the decoder streams.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::Path;
use std::sync::Arc;

/// An encoded image, made from bytes or from an open file.
///
/// ```
/// use deepcluster_data::ImageBytes;
///
/// let bytes = ImageBytes::from(vec![1, 2, 3]);
/// assert_eq!(bytes.len(), 3);
/// assert_eq!(bytes.into_vec()?, [1, 2, 3]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ImageBytes(Content);

#[derive(Debug)]
enum Content {
    Owned(Vec<u8>),
    Shared(Arc<[u8]>),
    File { file: File, num_bytes: u64 },
}

impl From<Vec<u8>> for ImageBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Content::Owned(bytes))
    }
}

impl From<Arc<[u8]>> for ImageBytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self(Content::Shared(bytes))
    }
}

impl ImageBytes {
    /// The content of a whole file, which is read while it is decoded.
    ///
    /// # Errors
    /// The length of the file is unknown.
    pub fn from_file(file: File) -> io::Result<Self> {
        let num_bytes = file.metadata()?.len();
        Ok(Self(Content::File { file, num_bytes }))
    }

    /// The content of the file at `path`.
    ///
    /// # Errors
    /// The file cannot be opened; [`ErrorKind::InvalidData`] where it is not a regular file.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        // Opening a pipe would wait forever.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is not a regular file"));
        }
        Self::from_file(File::open(path)?)
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Content::Owned(bytes) => bytes.len() as u64,
            Content::Shared(bytes) => bytes.len() as u64,
            Content::File { num_bytes, .. } => *num_bytes,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes in memory.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn into_vec(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Content::Owned(bytes) => Ok(bytes),
            Content::Shared(bytes) => Ok(bytes.to_vec()),
            Content::File { mut file, .. } => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// The bytes in the order of the file.
    pub(crate) fn into_reader(self) -> Box<dyn ImageReader> {
        match self.0 {
            Content::Owned(bytes) => Box::new(Cursor::new(bytes)),
            Content::Shared(bytes) => Box::new(Cursor::new(bytes)),
            Content::File { file, .. } => Box::new(BufReader::new(file)),
        }
    }
}

/// Bytes that decoders can go back in.
pub(crate) trait ImageReader: BufRead + Seek {}

impl<R: BufRead + Seek> ImageReader for R {}
