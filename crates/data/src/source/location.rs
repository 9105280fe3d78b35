//! The place of images, as text.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer, ser};

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
}
