//! The place of images, as text.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer, ser};

use crate::error::DataError;
use crate::source::closed::ClosedSource;
use crate::source::images::Images;
use crate::source::labels::Labels;
use crate::source::scan::{ScanConfig, scan_folder};

/// How the text of a folder begins.
const FOLDER: &str = "folder:";

/// A place of images. `run.json` has it as a text such as `folder:/photos`, by which a resumed run finds its
/// images.
///
/// ```
/// use deepcluster_data::Location;
///
/// assert_eq!(Location::from("photos"), Location::Folder("photos".into()));
/// assert_eq!(Location::from("folder:photos").to_string(), "photos");
/// assert_eq!(Location::parse("cloud:album"), Location::Other("cloud:album".into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[non_exhaustive]
pub enum Location {
    /// A folder of image files.
    Folder(PathBuf),
    /// A place that only the program knows that has the images: `scheme:details`.
    Other(Box<str>),
}

/// A path or text as users give it: `folder:photos`, or the path alone.
impl<P: AsRef<Path> + ?Sized> From<&P> for Location {
    fn from(path: &P) -> Self {
        let path = path.as_ref();
        let text = path.to_str().and_then(|text| text.strip_prefix(FOLDER));
        Self::Folder(text.map_or_else(|| path.to_path_buf(), PathBuf::from))
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::from(path.as_path())
    }
}

impl From<String> for Location {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl Location {
    /// The place of a text in `run.json`. Runs of earlier versions have the path of a folder alone.
    pub fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix(FOLDER) {
            return Self::Folder(path.into());
        }
        let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme));
        if has_scheme { Self::Other(text.into()) } else { Self::Folder(text.into()) }
    }

    /// The text by which [`Location::parse`] finds the place again; `None` for a folder whose path is not
    /// Unicode.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Folder(path) => path.to_str().map(|path| format!("{FOLDER}{path}")),
            Self::Other(text) => Some(text.to_string()),
        }
    }

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

    /// Whether this crate can open the place, if it is there.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// A short name: that of the folder, without those above.
    pub fn title(&self) -> String {
        match self {
            Self::Folder(root) => root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned(),
            Self::Other(text) => text.to_string(),
        }
    }

    /// The folder, where the images are files of one, to be linked to.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(root) => Some(root),
            Self::Other(_) => None,
        }
    }

    fn unknown(&self) -> DataError {
        DataError::UnknownLocation { location: self.clone() }
    }
}

/// Whether a text is the beginning of a place. A single letter is a drive of Windows.
fn is_scheme(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// For people: the path of a folder alone.
impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(root) => root.display().fmt(formatter),
            Self::Other(text) => text.fmt(formatter),
        }
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text().ok_or_else(|| ser::Error::custom("the path of the images is not Unicode"))?;
        serializer.serialize_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_from_their_texts() {
        let cases = [
            ("folder:/photos", Location::Folder("/photos".into())),
            ("folder:a:b", Location::Folder("a:b".into())),
            ("memory:squares", Location::Other("memory:squares".into())),
        ];
        for (text, location) in cases {
            assert_eq!(Location::parse(text), location);
            assert_eq!(location.text().unwrap(), text);
        }
    }

    #[test]
    fn paths_of_earlier_versions_are_folders() {
        for path in ["/photos", "/a:b/c", r"C:\photos", r"\\?\C:\photos", "photos"] {
            assert_eq!(Location::parse(path), Location::Folder(path.into()), "{path}");
        }
    }

    #[test]
    fn what_users_give_is_a_folder_with_or_without_its_scheme() {
        for text in ["photos", "folder:photos"] {
            assert_eq!(Location::from(text), Location::Folder("photos".into()));
        }
        assert_eq!(Location::from("12:30 walk"), Location::Folder("12:30 walk".into()));
    }

    #[test]
    fn a_place_of_another_program_is_named_in_the_error() {
        let error = Location::parse("cloud:album").open(&ScanConfig::default()).unwrap_err().to_string();
        assert!(error.contains("cloud:album"), "{error}");
    }
}
