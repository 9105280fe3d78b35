//! A folder for each cluster, with links to its images or copies of them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use deepcluster::data::Images;
use deepcluster::trainer::AssignedImages;
use deepcluster_files::{TemporaryFolder, mark_output_folder};

use crate::arguments::Placement;
use crate::usage_error::UsageError;

/// The longest name that common file systems allow, in bytes.
const MAX_NAME_BYTES: usize = 255;
const MAX_EXTENSION_BYTES: usize = 16;

/// Writes the folders `cluster-N` in `folder`, which appears when all is in its place. Every image keeps its
/// name as far as it is free. Returns the images that no longer exist, with the reason.
pub(super) fn write_cluster_folders(
    images: &Images,
    assigned: &AssignedImages,
    num_clusters: usize,
    folder: &Path,
    placement: Placement,
) -> anyhow::Result<Vec<(usize, String)>> {
    let cannot_write = || format!("cannot write to {}", folder.display());
    let temporary = TemporaryFolder::beside(folder).with_context(cannot_write)?;
    mark_output_folder(temporary.path()).with_context(cannot_write)?;
    let digits = num_clusters.saturating_sub(1).to_string().len();
    let mut skipped = Vec::new();
    for (row, &image_index) in assigned.image_indices.iter().enumerate() {
        let cluster = temporary.path().join(format!("cluster-{:0digits$}", assigned.clusters[row]));
        fs::create_dir_all(&cluster).with_context(cannot_write)?;
        if placement == Placement::Link && images.file(image_index).is_none() {
            let location = images.location();
            let message = format!("the images of {location} are not files to link to: use --place copy");
            return Err(UsageError(message).into());
        }
        let original = match Original::of(images, image_index) {
            Ok(original) => original,
            Err(reason) => {
                skipped.push((image_index, reason));
                continue;
            }
        };
        let name = Path::new(images.os_name(image_index));
        place_under_free_name(&original, &cluster, name, placement)
            .with_context(|| format!("cannot place {}", images.place(image_index)))?;
    }
    temporary.persist(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(skipped)
}

/// An image that is to be linked to or copied.
enum Original {
    /// From the root.
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Original {
    /// The file of an image, or its bytes where it has none.
    fn of(images: &Images, image_index: usize) -> Result<Self, String> {
        if let Some(file) = images.file(image_index) {
            return fs::canonicalize(file).map(Self::File).map_err(|error| error.to_string());
        }
        let bytes = images.read(image_index).map_err(|error| error.to_string())?;
        bytes.into_vec().map(Self::Bytes).map_err(|error| error.to_string())
    }
}

/// Tries one name after the other; only the file system knows which of them are the same to it.
fn place_under_free_name(
    original: &Original,
    folder: &Path,
    relative: &Path,
    placement: Placement,
) -> io::Result<()> {
    for name in names(relative) {
        match place(original, &folder.join(name), placement) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return result,
        }
    }
    Err(io::Error::other("no free file name"))
}

/// The file's own name; its whole path joined by `__`; and that with numbers from 2.
fn names(relative: &Path) -> impl Iterator<Item = OsString> {
    let own = relative.file_name().unwrap_or(relative.as_os_str()).to_owned();
    let mut joined = OsString::new();
    let below_root = relative.components().filter(|part| !matches!(part, Component::RootDir));
    for (index, component) in below_root.enumerate() {
        if index > 0 {
            joined.push("__");
        }
        joined.push(component);
    }
    let (stem, extension) = stem_and_extension(&joined);
    let numbered = move |number: usize| {
        let mut end = if number == 1 { OsString::new() } else { OsString::from(format!("-{number}")) };
        end.push(&extension);
        shortened(&stem, &end)
    };
    std::iter::once(own).chain((1..).map(numbered))
}

/// The extension has its dot. Words after a dot that are too long for one belong to the stem.
fn stem_and_extension(name: &OsStr) -> (OsString, OsString) {
    let path = Path::new(name);
    match (path.file_stem(), path.extension()) {
        (Some(stem), Some(extension)) if extension.len() <= MAX_EXTENSION_BYTES => {
            let mut with_dot = OsString::from(".");
            with_dot.push(extension);
            (stem.to_owned(), with_dot)
        }
        _ => (name.to_owned(), OsString::new()),
    }
}

/// `stem` and `end` in one name, which loses its beginning where it would be too long: an image is known by
/// what its path ends with.
fn shortened(stem: &OsStr, end: &OsStr) -> OsString {
    let room = MAX_NAME_BYTES.saturating_sub(end.len());
    let mut name = if stem.len() <= room {
        stem.to_owned()
    } else {
        // Bytes that are not UTF-8 are replaced, since they cannot be cut safely.
        let text = stem.to_string_lossy();
        let mut start = text.len().saturating_sub(room);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        OsString::from(&text[start..])
    };
    name.push(end);
    name
}

fn place(original: &Original, target: &Path, placement: Placement) -> io::Result<()> {
    match (original, placement) {
        (Original::Bytes(bytes), _) => File::create_new(target)?.write_all(bytes),
        (Original::File(source), Placement::Copy) => {
            // Only a file that is new here is written to.
            File::create_new(target)?;
            fs::copy(source, target).map(|_| ())
        }
        #[cfg(unix)]
        (Original::File(source), Placement::Link) => std::os::unix::fs::symlink(source, target),
        #[cfg(windows)]
        (Original::File(source), Placement::Link) => std::os::windows::fs::symlink_file(source, target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(relative: &str, count: usize) -> Vec<String> {
        names(Path::new(relative)).take(count).map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn names_count_up_until_one_is_free() {
        assert_eq!(first("a/b/x.jpg", 4), ["x.jpg", "a__b__x.jpg", "a__b__x-2.jpg", "a__b__x-3.jpg"]);
        assert_eq!(first("x", 3), ["x", "x", "x-2"]);
        assert_eq!(first("/root/x.tar.gz", 3), ["x.tar.gz", "root__x.tar.gz", "root__x.tar-2.gz"]);
    }

    #[test]
    fn long_names_lose_their_beginning() {
        let folder = "é".repeat(120);
        let path = format!("{folder}/{folder}/x.jpg");
        for name in first(&path, 12).into_iter().skip(1) {
            assert!(name.len() <= 255 && name.len() > 250, "{} bytes", name.len());
            assert!(name.contains("é__x") && name.ends_with(".jpg"), "{name}");
        }
        let long_end = format!("x.{}", "y".repeat(253));
        assert_eq!(names(Path::new(&long_end)).nth(12).unwrap().len(), 255);
    }
}
