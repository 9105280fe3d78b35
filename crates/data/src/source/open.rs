//! From a place to its images. Each kind of place has an arm in every function.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::error::DataError;
use crate::source::closed::ClosedSource;
use crate::source::images::Images;
use crate::source::labels::Labels;
use crate::source::location::Location;
use crate::source::scan::{ScanConfig, scan_folder};

impl Images {
    /// Finds the images at a place. In a folder these are the image files at any depth, in the byte order of
    /// their names, folder by folder.
    ///
    /// The extension decides: files of readable formats are images, files of other image formats are
    /// [`skipped`](Self::skipped), everything else is ignored; the [`summary`](Self::summary) counts
    /// both. Only where the extension says nothing (there is none, or one such as `bin`), or names a format
    /// that is not read, are the first bytes looked at, and the file is an image if they are those of one.
    /// Links are followed; a link to a folder that contains it is skipped, as is what cannot be read.
    ///
    /// Left out are files and folders whose name begins with a dot; folders of systems, such as `@eaDir`,
    /// `$RECYCLE.BIN` and `__MACOSX`; and folders below the root that hold a run or other results marked as
    /// such.
    ///
    /// # Errors
    /// - [`DataError::FolderNotFound`], [`DataError::NotAFolder`], [`DataError::Io`]: the folder cannot be
    ///   read.
    /// - [`DataError::NoImages`]: there are no images.
    /// - [`DataError::NoFolderLabels`], [`DataError::MalformedLabels`], [`DataError::DuplicateLabel`],
    ///   [`DataError::LabelsMatchNothing`]: the requested labels are not available.
    /// - [`DataError::UnknownLocation`]: only another program can open the place.
    pub fn scan(location: impl Into<Location>, config: &ScanConfig) -> Result<Self, DataError> {
        location.into().open(config)
    }

    /// [`Images::scan`] with the default settings.
    ///
    /// # Errors
    /// Those of [`Images::scan`].
    pub fn open(location: impl Into<Location>) -> Result<Self, DataError> {
        Self::scan(location, &ScanConfig::default())
    }
}

impl Location {
    /// Finds the images there.
    ///
    /// # Errors
    /// Those of [`Images::scan`].
    pub fn open(&self, config: &ScanConfig) -> Result<Images, DataError> {
        match self {
            Self::Folder(root) => scan_folder(root, config),
            Self::Other(_) => Err(self.unknown()),
        }
    }

    /// The images of these names, in this order; nothing is read. Where the place cannot be opened they have
    /// their names, and reading one is an error. `labels`, if any, have one entry for each.
    pub fn images(&self, names: Vec<PathBuf>, labels: Option<Labels>) -> Images {
        match self {
            Self::Folder(root) => Images::from_paths(root.clone(), names, labels),
            Self::Other(_) => Images::listed(ClosedSource::new(self.clone(), names), labels),
        }
    }

    /// The place of each of `names` that is not there, as an index.
    ///
    /// # Errors
    /// [`DataError::UnknownLocation`] where the place cannot be opened.
    pub fn missing(&self, names: &[PathBuf]) -> Result<Vec<usize>, DataError> {
        match self {
            Self::Folder(root) => {
                Ok((0..names.len()).filter(|&index| !root.join(&names[index]).is_file()).collect())
            }
            Self::Other(_) => Err(self.unknown()),
        }
    }

    /// The same place from whatever folder a program works in.
    ///
    /// # Errors
    /// [`DataError::FolderNotFound`], [`DataError::NotAFolder`], [`DataError::Io`].
    pub fn absolute(&self) -> Result<Self, DataError> {
        let Self::Folder(root) = self else { return Ok(self.clone()) };
        let path = match fs::canonicalize(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(DataError::FolderNotFound { path: root.clone() });
            }
            found => found.map_err(|source| DataError::io("open", root, source))?,
        };
        if path.is_dir() { Ok(Self::Folder(path)) } else { Err(DataError::NotAFolder { path: root.clone() }) }
    }

    fn unknown(&self) -> DataError {
        DataError::UnknownLocation { location: self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_another_program_is_named_in_the_error() {
        let error = Location::parse("cloud:album").open(&ScanConfig::default()).unwrap_err().to_string();
        assert!(error.contains("cloud:album"), "{error}");
    }
}
