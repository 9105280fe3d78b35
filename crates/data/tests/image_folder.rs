//! Finding images in folders as they are met in the wild.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use deepcluster_data::{DataError, ImageFolder, LabelSource, ScanConfig};
use tempfile::TempDir;

/// A folder with empty files of these names: scanning opens none of them.
fn folder_with(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    folder
}

fn paths(images: &ImageFolder) -> Vec<&Path> {
    (0..images.len()).map(|index| images.relative_path(index)).collect()
}

fn with_labels(labels: LabelSource) -> ScanConfig {
    ScanConfig { labels }
}

#[test]
fn images_are_found_at_any_depth_in_a_fixed_order() {
    let folder =
        folder_with(&["b.png", "a/z.JPG", "a/b/c/d.webp", "a.gif", "Z.tiff", "a/10.bmp", "a/9.jpeg"]);
    let images = ImageFolder::open(folder.path()).unwrap();
    let expected = ["Z.tiff", "a/10.bmp", "a/9.jpeg", "a/b/c/d.webp", "a/z.JPG", "a.gif", "b.png"];
    assert_eq!(paths(&images), expected.map(Path::new));
    assert_eq!(images.path(1), folder.path().join("a/10.bmp"));
    assert_eq!(images.root(), folder.path());
    assert!(images.skipped().is_empty() && images.labels().is_none());
}

#[test]
fn hidden_and_other_files_are_left_out_and_unreadable_formats_are_reported() {
    let folder = folder_with(&["a.png", ".b.png", ".git/c.png", "d/.e/f.png", "notes.txt", "d/g.HEIC"]);
    let images = ImageFolder::open(folder.path()).unwrap();
    assert_eq!(paths(&images), [Path::new("a.png")]);
    assert_eq!(images.skipped().len(), 1);
    assert_eq!(images.skipped()[0].path, Path::new("d/g.HEIC"));
    assert!(images.skipped()[0].reason.contains("JPEG, PNG"), "{}", images.skipped()[0].reason);
}

#[test]
fn a_hidden_root_is_read() {
    let folder = folder_with(&[".cache/a.png"]);
    assert_eq!(ImageFolder::open(folder.path().join(".cache")).unwrap().len(), 1);
}

#[test]
fn roots_that_cannot_be_used_are_errors() {
    let folder = folder_with(&["a.png", "empty/notes.txt", "empty/a.heic"]);
    let open = |name: &str| ImageFolder::open(folder.path().join(name)).unwrap_err();
    assert!(matches!(open("missing"), DataError::FolderNotFound { .. }));
    assert!(matches!(open("a.png"), DataError::NotAFolder { .. }));
    assert!(matches!(open("empty"), DataError::NoImages { num_files_seen: 2, num_skipped: 1, .. }));
}

#[test]
fn labels_come_from_where_they_are_asked_for() {
    let folder = folder_with(&["a/1.png", "b/x/2.png", "3.png"]);
    let csv = folder.path().join("labels.csv");
    fs::write(&csv, "path,label\na/1.png,dog\n3.png,cat\n").unwrap();
    let labels = |source| {
        let images = ImageFolder::scan(folder.path(), &with_labels(source)).unwrap();
        images.labels().map(|labels| (labels.names.clone(), labels.of_image.clone()))
    };
    let names = |names: [&str; 2]| names.map(String::from).to_vec();
    // The order is 3.png, a/1.png, b/x/2.png.
    let folders = Some((names(["a", "b"]), vec![None, Some(0), Some(1)]));
    assert_eq!(labels(LabelSource::Auto), folders);
    assert_eq!(labels(LabelSource::Folders), folders);
    assert_eq!(labels(LabelSource::None), None);
    assert_eq!(labels(LabelSource::Csv(csv)), Some((names(["cat", "dog"]), vec![Some(0), Some(1), None])));
    let error =
        ImageFolder::scan(folder.path(), &with_labels(LabelSource::Csv("missing.csv".into()))).unwrap_err();
    assert!(matches!(error, DataError::Io { action: "open", .. }), "{error}");
}

#[test]
fn a_list_of_paths_is_taken_as_it_is() {
    let images = ImageFolder::from_paths(PathBuf::from("root"), vec!["b.png".into(), "a.png".into()], None);
    assert_eq!(images.path(0), Path::new("root").join("b.png"));
    assert!(!images.is_empty());
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_back_is_skipped_and_other_links_are_followed() {
        let folder = folder_with(&["a/1.png", "a/b/2.png"]);
        symlink(folder.path(), folder.path().join("a/b/back")).unwrap();
        symlink(folder.path().join("a/b"), folder.path().join("again")).unwrap();
        symlink(folder.path().join("a/1.png"), folder.path().join("one.png")).unwrap();
        let images = ImageFolder::open(folder.path()).unwrap();
        let expected = ["a/1.png", "a/b/2.png", "again/2.png", "one.png"];
        assert_eq!(paths(&images), expected.map(Path::new));
        let skipped: Vec<&Path> = images.skipped().iter().map(|file| file.path.as_path()).collect();
        assert_eq!(skipped, ["a/b/back", "again/back"].map(Path::new));
        assert!(images.skipped()[0].reason.contains("link back"), "{}", images.skipped()[0].reason);
    }

    #[test]
    fn a_broken_link_is_skipped_with_a_reason() {
        let folder = folder_with(&["a.png"]);
        symlink("nowhere.png", folder.path().join("b.png")).unwrap();
        symlink("nowhere.png", folder.path().join(".hidden.png")).unwrap();
        let images = ImageFolder::open(folder.path()).unwrap();
        assert_eq!((images.len(), images.skipped().len()), (1, 1));
        assert_eq!(images.skipped()[0].path, Path::new("b.png"));
        // The path is not said twice.
        assert!(!images.skipped()[0].reason.contains("b.png"), "{}", images.skipped()[0].reason);
    }

    #[test]
    fn names_that_are_not_unicode_work() {
        let folder = folder_with(&["a.png"]);
        let name = OsStr::from_bytes(b"b\xFF.png");
        if fs::write(folder.path().join(name), "").is_err() {
            return; // The file system has Unicode names only.
        }
        let csv = folder.path().join("labels.csv");
        fs::write(&csv, b"path,label\nb\xFF.png,x\n").unwrap();
        let images = ImageFolder::scan(folder.path(), &with_labels(LabelSource::Csv(csv))).unwrap();
        assert_eq!(images.relative_path(1), Path::new(name));
        assert_eq!(images.labels().unwrap().of_image, [None, Some(0)]);
    }

    #[test]
    fn a_pipe_that_looks_like_an_image_is_skipped() {
        let folder = folder_with(&["a.png"]);
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("b.png")).status();
        if !made.is_ok_and(|status| status.success()) {
            return; // The system has no mkfifo.
        }
        let images = ImageFolder::open(folder.path()).unwrap();
        assert_eq!((images.len(), images.skipped()[0].path.as_path()), (1, Path::new("b.png")));
    }

    #[test]
    fn a_folder_without_permission_is_skipped() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder_with(&["a.png", "closed/b.png"]);
        let closed = folder.path().join("closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let is_root = fs::read_dir(&closed).is_ok();
        let images = ImageFolder::open(folder.path());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        if !is_root {
            let images = images.unwrap();
            assert_eq!((images.len(), images.skipped()[0].path.as_path()), (1, Path::new("closed")));
        }
    }
}
