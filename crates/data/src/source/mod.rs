//! Where images come from: a trait, and the folder as its first implementation.
//!
//! A new kind of place is a module here and an arm of [`Location`]; nothing outside changes.

mod closed;
#[cfg(test)]
mod common_checks;
pub(crate) mod file_kind;
pub(crate) mod folder;
pub(crate) mod images;
pub(crate) mod label_columns;
pub(crate) mod label_file;
pub(crate) mod labels;
pub(crate) mod location;
mod open;
pub(crate) mod scan;
pub(crate) mod scan_summary;

use std::ffi::OsStr;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use crate::decode::bytes::ImageBytes;
pub use folder::FolderSource;
pub use images::{Images, SkippedFile};
pub use location::Location;

/// Encoded images by index, `0..len()`, in an order that does not change.
///
/// Implement it for images of another place, such as an archive, a database or memory, and train, cluster and
/// assign with [`Images::from_source`]. Threads read several images at once. An index that is not below
/// `len()` may panic in [`name`](Self::name) alone.
///
/// ```
/// use std::io;
/// use std::sync::Arc;
///
/// use deepcluster_data::{ImageBytes, ImageSource, Images, Location};
///
/// /// Files that are in memory already.
/// #[derive(Debug)]
/// struct Memory(Vec<(String, Arc<[u8]>)>);
///
/// impl ImageSource for Memory {
///     fn location(&self) -> Location {
///         Location::Other("memory:".into())
///     }
///
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///
///     fn name(&self, index: usize) -> &str {
///         &self.0[index].0
///     }
///
///     fn read(&self, index: usize) -> io::Result<ImageBytes> {
///         let (_, bytes) = self.0.get(index).ok_or(io::ErrorKind::NotFound)?;
///         Ok(bytes.clone().into())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let drawings = deepcluster_data::SyntheticConfig { num_images: 1, image_size: 32, seed: 7 };
/// # deepcluster_data::write_synthetic_folder(folder.path(), &drawings, &mut |_| {})?;
/// let in_files = Images::open(folder.path())?;
/// let bytes = in_files.read(0)?.into_vec()?;
/// let images = Images::from_source(Arc::new(Memory(vec![("first".to_string(), bytes.into())])));
/// assert_eq!((images.len(), images.name(0)), (1, "first"));
/// assert_eq!(images.decode(0, 1 << 20)?, in_files.decode(0, 1 << 20)?);
/// # Ok(())
/// # }
/// ```
pub trait ImageSource: Debug + Send + Sync {
    /// The place, for messages and the file `run.json`. A place of your own is [`Location::Other`] with a
    /// text of the form `scheme:details`.
    fn location(&self) -> Location;

    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of an image, unlike that of any other: tables and captions show it, and a resumed run finds the
    /// image by it. In a folder it is the path below the root.
    fn name(&self, index: usize) -> &str;

    /// The name as the operating system has it. It differs from [`name`](Self::name) only for files whose
    /// names are not Unicode, of which [`name`](Self::name) has replaced the rest.
    fn os_name(&self, index: usize) -> &OsStr {
        self.name(index).as_ref()
    }

    /// The encoded image: the bytes of a JPEG, PNG, WebP, BMP, TIFF or GIF file.
    ///
    /// # Errors
    /// The image cannot be read, or does not exist. [`io::ErrorKind::InvalidData`] means that it is damaged.
    fn read(&self, index: usize) -> io::Result<ImageBytes>;

    /// A number that identifies the content of an image among all images of all sources, without reading the
    /// image: the hash of all that changes with it, such as path, size and time of modification. `None`, the
    /// default, keeps decoded images out of the cache on disk.
    fn version(&self, _index: usize) -> Option<u128> {
        None
    }

    /// The file of an image, where it has one of its own, to be linked to or copied.
    fn file(&self, _index: usize) -> Option<PathBuf> {
        None
    }

    /// Whether images can be read at all, asked before a run is resumed: a folder may have moved.
    fn is_there(&self) -> bool {
        true
    }
}
