//! The one error type of this crate.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use deepcluster_files::{HasKind, Kind};
use thiserror::Error;

use crate::decode::formats::READABLE_FORMATS;
use crate::source::location::Location;

/// Errors of finding, decoding, transforming and drawing images.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path given as the image folder does not exist.
    #[error("{} does not exist: give the folder that holds the images", path.display())]
    FolderNotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The path given as the image folder is a file.
    #[error("{} is not a folder: give the folder that holds the images", path.display())]
    NotAFolder {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused to read or write a path.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed, as a verb: `open`, `read`, `write`, ...
        action: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// Images are at a place that this crate cannot open.
    #[error("{location} can only be opened by the program that has its images: pass them, or name a folder")]
    UnknownLocation {
        /// The place.
        location: Location,
    },
    /// A folder without one readable image.
    #[error(
        "no readable image in {}: {num_files_seen} files seen, {num_skipped} skipped as unreadable{rest}; \
         images must be {READABLE_FORMATS} files, at any depth",
        root.display()
    )]
    NoImages {
        /// The folder that was scanned.
        root: PathBuf,
        /// Number of files met, whatever their kind; hidden ones are not counted.
        num_files_seen: usize,
        /// Number of paths that looked like an image or a folder but could not be read.
        num_skipped: usize,
        /// Skipped files, as in a [`ScanSummary`](crate::ScanSummary); empty or after `; `.
        rest: String,
    },
    /// Labels from folder names were requested, but no image lies in a sub-folder.
    #[error(
        "no labels in {}: every image lies directly in it; put each class into its own folder or name a CSV file",
        root.display()
    )]
    NoFolderLabels {
        /// The folder that was scanned.
        root: PathBuf,
    },
    /// A folder that does not have the PASCAL VOC layout.
    #[error(
        "{} has no folder JPEGImages: name a folder in the layout of PASCAL VOC, such as VOCdevkit/VOC2007",
        root.display()
    )]
    NotVoc {
        /// The folder as given.
        root: PathBuf,
    },
    /// A list of images that does not exist, or is empty.
    #[error("{} does not exist or lists no images; available: {}", path.display(), known.join(", "))]
    NoImageSet {
        /// The file that was looked for.
        path: PathBuf,
        /// Names of the lists that exist.
        known: Vec<String>,
    },
    /// A list with a name that leads outside the folder of images.
    #[error("{}, line {line}: '{name}' is not a name within the folder of images", path.display())]
    NameOutsideFolder {
        /// The list.
        path: PathBuf,
        /// 1-based line of the file.
        line: u64,
        /// The name.
        name: String,
    },
    /// An annotation that cannot be understood.
    #[error("{} is malformed: {reason}", path.display())]
    MalformedAnnotation {
        /// The XML file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A line of the label file that cannot be understood.
    #[error(
        "{}, line {line}: {reason}; expected a header that names a column of paths and one of labels, \
         best `path,label`, \
         and one such row per image",
        path.display()
    )]
    MalformedLabels {
        /// The label file.
        path: PathBuf,
        /// 1-based line of the file.
        line: u64,
        /// The problem.
        reason: String,
    },
    /// The label file names one image twice.
    #[error("{}, line {line}: {} is already labelled on an earlier line", path.display(), image.display())]
    DuplicateLabel {
        /// The label file.
        path: PathBuf,
        /// 1-based line of the second mention.
        line: u64,
        /// The image named twice.
        image: PathBuf,
    },
    /// The label file names none of the images found.
    #[error(
        "none of the {num_rows} paths in {} is an image below {}: paths must be absolute or relative to that folder",
        path.display(),
        root.display()
    )]
    LabelsMatchNothing {
        /// The label file.
        path: PathBuf,
        /// The folder that was scanned.
        root: PathBuf,
        /// Number of rows in the label file.
        num_rows: usize,
    },
    /// A damaged image, or a file that is not an image of a readable format.
    #[error("cannot decode {}: {reason}", path.display())]
    Decode {
        /// The image file.
        path: PathBuf,
        /// Message of the decoder.
        reason: String,
    },
    /// An image with more pixels than allowed, perhaps a decompression bomb.
    #[error(
        "{} has {width} x {height} pixels, more than the {max_pixels} allowed: raise max_pixels if it is genuine",
        path.display()
    )]
    TooManyPixels {
        /// The image file.
        path: PathBuf,
        /// Width its header states, in pixels.
        width: u32,
        /// Height its header states, in pixels.
        height: u32,
        /// Most pixels an image may have.
        max_pixels: u64,
    },
    /// An image index beyond the end of the folder.
    #[error("image {image_index} does not exist: the folder has {num_images} images")]
    NoSuchImage {
        /// The requested index.
        image_index: usize,
        /// Number of images in the folder.
        num_images: usize,
    },
    /// Pixels that do not fill `width x height`, or an image without pixels.
    #[error(
        "{num_bytes} bytes are not a {width} x {height} RGB image: sides must be at least 1, with 3 bytes per pixel"
    )]
    InvalidImage {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Number of bytes given.
        num_bytes: usize,
    },
    /// A crop box that is empty or reaches over the edge of the image.
    #[error(
        "crop of {crop_width} x {crop_height} at ({left}, {top}) does not lie within the {width} x {height} image"
    )]
    CropOutside {
        /// Left edge of the crop in pixels.
        left: u32,
        /// Upper edge of the crop in pixels.
        top: u32,
        /// Width of the crop in pixels.
        crop_width: u32,
        /// Height of the crop in pixels.
        crop_height: u32,
        /// Width of the image in pixels.
        width: u32,
        /// Height of the image in pixels.
        height: u32,
    },
    /// The resampler refused its input.
    #[error("cannot resize to {width} x {height}: {reason}")]
    Resize {
        /// Requested width in pixels.
        width: u32,
        /// Requested height in pixels.
        height: u32,
        /// Message of the resampler.
        reason: String,
    },
    /// An output slice of the wrong length.
    #[error("the output holds {actual} values, but the transform writes {expected}")]
    OutputLength {
        /// `3 * size * size`.
        expected: usize,
        /// Length of the slice given.
        actual: usize,
    },
    /// The output folder for drawings is not empty.
    #[error("{} is not empty: name a new or an empty folder", path.display())]
    FolderNotEmpty {
        /// The folder as given.
        path: PathBuf,
    },
    /// A setting outside its range.
    #[error("{field} = {value} is not allowed: {allowed}")]
    InvalidConfig {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        allowed: &'static str,
    },
}

impl HasKind for DataError {
    fn kind(&self) -> Kind {
        match self {
            Self::FolderNotFound { .. }
            | Self::UnknownLocation { .. }
            | Self::NotAFolder { .. }
            | Self::NoImages { .. }
            | Self::NoFolderLabels { .. }
            | Self::LabelsMatchNothing { .. }
            | Self::NotVoc { .. }
            | Self::NoImageSet { .. }
            | Self::InvalidConfig { .. } => Kind::Usage,
            Self::Decode { .. }
            | Self::TooManyPixels { .. }
            | Self::NoSuchImage { .. }
            | Self::InvalidImage { .. }
            | Self::MalformedAnnotation { .. }
            | Self::MalformedLabels { .. }
            | Self::DuplicateLabel { .. }
            | Self::NameOutsideFolder { .. } => Kind::Input,
            Self::Io { .. }
            | Self::CropOutside { .. }
            | Self::Resize { .. }
            | Self::OutputLength { .. }
            | Self::FolderNotEmpty { .. } => Kind::Failure,
        }
    }
}

impl DataError {
    /// The message without the path of an image file, for lists that name the file themselves.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Io { action, source, .. } => format!("cannot {action} it: {source}"),
            Self::Decode { reason, .. } => reason.clone(),
            Self::TooManyPixels { width, height, max_pixels, .. } => {
                format!("{width} x {height} pixels are more than the {max_pixels} allowed by max_pixels")
            }
            other => other.to_string(),
        }
    }

    /// An encoded image that cannot be read, or that its source finds damaged.
    pub(crate) fn reading(path: impl Into<PathBuf>, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidData => Self::Decode { path: path.into(), reason: error.to_string() },
            _ => Self::io("open", path, error),
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    pub(crate) fn invalid_config(field: &'static str, value: impl ToString, allowed: &'static str) -> Self {
        Self::InvalidConfig { field, value: value.to_string(), allowed }
    }
}
