//! Known classes of images. They are used for evaluation only, never for training.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer, ser};

use crate::error::DataError;

/// Classes of the images of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Names of the classes, sorted.
    pub names: Vec<String>,
    /// For each image its class as an index into `names`, or `None` where it has no label.
    pub of_image: Vec<Option<u32>>,
}

/// Source of the labels.
///
/// As text, and so in configuration files, it is one string: `auto`, `none`, `folders`, or the path of a CSV
/// file. A file called `none` is written `./none`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub enum LabelSource {
    /// As [`LabelSource::Folders`] if at least two folders directly below the root hold images, otherwise as
    /// [`LabelSource::None`]. With a layout such as `train/<class>/..` and `val/<class>/..` the classes would
    /// be `train` and `val`: give `train` as the root.
    #[default]
    Auto,
    /// No labels.
    None,
    /// The name of the first folder below the root that leads to the image; images directly in the root have
    /// no label. Names that are not Unicode are told apart only by their Unicode parts.
    Folders,
    /// A CSV file with the header `path,label` and one row per image, its path absolute or relative to the
    /// root. Images with an empty label or without a row have no label; rows of other files are ignored.
    /// Fields may be separated by commas, semicolons, tabs or bars; columns may have other usual names
    /// (`file`, `filename`, `image`, ..; `class`, `category`, `target`, ..), and other columns are ignored if
    /// these two are unambiguous.
    Csv(PathBuf),
}

impl From<String> for LabelSource {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => Self::Auto,
            "none" => Self::None,
            "folders" => Self::Folders,
            _ => Self::Csv(text.into()),
        }
    }
}

impl Serialize for LabelSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Folders => "folders",
            Self::Csv(path) => {
                let text = path.to_str().ok_or_else(|| ser::Error::custom("the path is not Unicode"))?;
                if matches!(text, "auto" | "none" | "folders") {
                    return serializer.serialize_str(&format!("./{text}"));
                }
                text
            }
        };
        serializer.serialize_str(text)
    }
}

impl Labels {
    /// Numbers the classes in the order of their names.
    pub(crate) fn from_names(name_of_image: &[Option<String>]) -> Self {
        let mut names: Vec<String> = name_of_image.iter().flatten().cloned().collect();
        names.sort_unstable();
        names.dedup();
        let number = |name: &String| names.binary_search(name).ok().map(|index| index as u32);
        let of_image = name_of_image.iter().map(|name| name.as_ref().and_then(number)).collect();
        Self { names, of_image }
    }
}

/// Labels from the first folder of each relative path.
pub(crate) fn labels_of_folders(root: &Path, relative_paths: &[PathBuf]) -> Result<Labels, DataError> {
    let names: Vec<Option<String>> = relative_paths.iter().map(|path| first_folder(path)).collect();
    let labels = Labels::from_names(&names);
    if labels.names.is_empty() {
        return Err(DataError::NoFolderLabels { root: root.into() });
    }
    Ok(labels)
}

/// Labels from folders where there are at least two, and none elsewhere.
pub(crate) fn automatic_labels(relative_paths: &[PathBuf]) -> Option<Labels> {
    let names: Vec<Option<String>> = relative_paths.iter().map(|path| first_folder(path)).collect();
    let labels = Labels::from_names(&names);
    (labels.names.len() >= 2).then_some(labels)
}

fn first_folder(relative_path: &Path) -> Option<String> {
    let mut components = relative_path.components();
    let first = components.next()?;
    components.next()?;
    Some(first.as_os_str().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn classes_are_numbered_in_the_order_of_their_names() {
        let labels =
            labels_of_folders(Path::new(""), &paths(&["b/1.png", "a/x/2.png", "3.png", "b/4.png"])).unwrap();
        assert_eq!(labels.names, ["a", "b"]);
        assert_eq!(labels.of_image, [Some(1), Some(0), None, Some(1)]);
    }

    #[test]
    fn one_folder_alone_is_a_label_only_on_demand() {
        let one = paths(&["a/1.png", "a/2.png", "3.png"]);
        assert_eq!(automatic_labels(&one), None);
        assert_eq!(labels_of_folders(Path::new(""), &one).unwrap().names, ["a"]);
        let error = labels_of_folders(Path::new("root"), &paths(&["1.png"])).unwrap_err();
        assert!(matches!(error, DataError::NoFolderLabels { .. }), "{error}");
    }

    #[test]
    fn every_source_has_a_text_of_its_own() {
        let cases = [
            ("auto", LabelSource::Auto),
            ("none", LabelSource::None),
            ("folders", LabelSource::Folders),
            ("./none", LabelSource::Csv("./none".into())),
            ("labels.csv", LabelSource::Csv("labels.csv".into())),
        ];
        for (text, source) in cases {
            assert_eq!(LabelSource::from(text.to_owned()), source);
            assert_eq!(written(&source), text);
        }
        assert_eq!(written(&LabelSource::Csv("none".into())), "./none");
    }

    fn written(source: &LabelSource) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(source).unwrap();
        String::from_utf8(writer.into_inner().unwrap()).unwrap().trim().to_owned()
    }
}
