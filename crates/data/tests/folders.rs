//! Finding images in folders as they are met in the wild.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use deepcluster_data::{DataError, Images, LabelSource, Location, ScanConfig};
use tempfile::TempDir;

/// A folder with empty files of these names.
fn folder_with(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    folder
}

fn paths(images: &Images) -> Vec<&Path> {
    (0..images.len()).map(|index| Path::new(images.os_name(index))).collect()
}

fn with_labels(labels: LabelSource) -> ScanConfig {
    ScanConfig { labels }
}

#[test]
fn images_are_found_at_any_depth_in_a_fixed_order() {
    let folder =
        folder_with(&["b.png", "a/z.JPG", "a/b/c/d.webp", "a.gif", "Z.tiff", "a/10.bmp", "a/9.jpeg"]);
    let images = Images::open(folder.path()).unwrap();
    let expected = ["Z.tiff", "a/10.bmp", "a/9.jpeg", "a/b/c/d.webp", "a/z.JPG", "a.gif", "b.png"];
    assert_eq!(paths(&images), expected.map(Path::new));
    assert_eq!(images.file(1).unwrap(), folder.path().join("a/10.bmp"));
    assert_eq!(images.location(), Location::from(folder.path()));
    assert!(images.skipped().is_empty() && images.labels().is_none());
}

#[test]
fn hidden_and_other_files_are_left_out_and_unreadable_formats_are_reported() {
    let folder = folder_with(&["a.png", ".b.png", ".git/c.png", "d/.e/f.png", "notes.txt", "d/g.HEIC"]);
    let images = Images::open(folder.path()).unwrap();
    assert_eq!(paths(&images), [Path::new("a.png")]);
    assert_eq!(images.skipped().len(), 1);
    assert_eq!(images.skipped()[0].path, Path::new("d/g.HEIC"));
    assert!(images.skipped()[0].reason.contains("JPEG, PNG"), "{}", images.skipped()[0].reason);
}

#[test]
fn a_hidden_root_is_read() {
    let folder = folder_with(&[".cache/a.png"]);
    assert_eq!(Images::open(folder.path().join(".cache")).unwrap().len(), 1);
}

#[test]
fn roots_that_cannot_be_used_are_errors() {
    let folder = folder_with(&["a.png", "empty/notes.txt", "empty/a.heic"]);
    let open = |name: &str| Images::open(folder.path().join(name)).unwrap_err();
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
        let images = Images::scan(folder.path(), &with_labels(source)).unwrap();
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
        Images::scan(folder.path(), &with_labels(LabelSource::Csv("missing.csv".into()))).unwrap_err();
    assert!(matches!(error, DataError::Io { action: "open", .. }), "{error}");
}

#[test]
fn a_list_of_paths_is_taken_as_it_is() {
    let images = Images::from_paths(PathBuf::from("root"), vec!["b.png".into(), "a.png".into()], None);
    assert_eq!(images.file(0).unwrap(), Path::new("root").join("b.png"));
    assert!(!images.is_empty());
}

#[test]
fn whatever_is_passed_over_is_counted_by_kind() {
    let folder = folder_with(&[
        "a.png", "1.HEIC", "2.heic", "x/3.avif", "film.mp4", "film.MOV", "a.txt", "b.txt", "c.txt",
    ]);
    fs::write(folder.path().join("README"), "BM is no bitmap, nor is this text").unwrap();
    let images = Images::open(folder.path()).unwrap();
    assert_eq!(
        images.summary().to_string(),
        "found 1 image; passed over: 2 .heic, 1 .avif (not read; convert to JPEG), 3 .txt, 1 .mov, 1 .mp4, \
         1 without extension"
    );
    assert_eq!((images.summary().num_images(), images.summary().num_passed_over()), (1, 9));
    assert_eq!(images.skipped().len(), 3);
    fs::remove_file(folder.path().join("a.png")).unwrap();
    let error = Images::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("passed over: 2 .heic, 1 .avif (not read; convert to JPEG), 3 .txt"), "{error}");
}

#[test]
fn images_under_rare_extensions_are_found() {
    let names = ["a.apng", "b.dib", "c.JIF", "d.jfi", "e.jfif", "f.jpe", "g.mpo", "h.pjpeg"];
    let images = Images::open(folder_with(&names).path()).unwrap();
    assert_eq!(paths(&images), names.map(Path::new));
    assert!(images.summary().is_complete());
}

#[test]
fn images_without_a_telling_name_are_found_by_their_first_bytes() {
    let folder = folder_with(&["README", "d.bin", "e.txt", "f.dng"]);
    let jpeg = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0";
    for name in ["0a1b", "IMG.20230501", "photo 1.2", "c.bin", "g.heic", "h.jpg_large"] {
        fs::write(folder.path().join(name), jpeg).unwrap();
    }
    fs::write(folder.path().join("i"), b"II*\0\x08\0\0\0").unwrap();
    // A raw photograph begins as a TIFF file does; a text stays a text.
    fs::write(folder.path().join("f.dng"), b"II*\0\x08\0\0\0").unwrap();
    fs::write(folder.path().join("e.txt"), jpeg).unwrap();
    let images = Images::open(folder.path()).unwrap();
    let expected = ["0a1b", "IMG.20230501", "c.bin", "g.heic", "h.jpg_large", "i", "photo 1.2"];
    assert_eq!(paths(&images), expected.map(Path::new));
    let line = images.summary().to_string();
    assert!(
        line.ends_with(
            "passed over: 1 .dng (not read; convert to JPEG), 1 .bin, 1 .txt, 1 without extension"
        ),
        "{line}"
    );
}

#[test]
fn folders_of_systems_are_left_out() {
    let folder = folder_with(&[
        "a.png",
        "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
        "b/@eadir/c.jpg",
        "$RECYCLE.BIN/S-1-5/d.jpg",
        "System Volume Information/e.jpg",
        "__MACOSX/._a.png",
        "lost+found/1.jpg",
        ".Trash-1000/files/f.jpg",
        "#recycle/g.jpg",
        "Thumbs.db",
        "b/desktop.ini",
    ]);
    let images = Images::open(folder.path()).unwrap();
    assert_eq!(paths(&images), [Path::new("a.png")]);
    let line = images.summary().to_string();
    let folders = "#recycle, $RECYCLE.BIN, @eaDir, @eadir, System Volume Information, __MACOSX, lost+found";
    assert_eq!(line, format!("found 1 image; left out: system folder {folders}"));
    // The user names it: it is read.
    assert_eq!(Images::open(folder.path().join("@eaDir")).unwrap().len(), 1);
}

#[test]
fn results_among_the_images_are_left_out() {
    let folder = folder_with(&[
        "a.png",
        "run/run.json",
        "run/config.toml",
        "run/report/thumbnails/0.jpg",
        "clusters/0/a.png",
        "b/run.json",
        "b/c.png",
    ]);
    deepcluster_files::mark_output_folder(&folder.path().join("clusters")).unwrap();
    let images = Images::open(folder.path()).unwrap();
    assert_eq!(paths(&images), ["a.png", "b/c.png"].map(Path::new));
    let line = images.summary().to_string();
    assert!(line.ends_with("1 .json; left out: results of deepcluster in clusters, run"), "{line}");
    for root in ["clusters", "run"] {
        assert_eq!(Images::open(folder.path().join(root)).unwrap().len(), 1, "{root}");
    }
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
        let images = Images::open(folder.path()).unwrap();
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
        let images = Images::open(folder.path()).unwrap();
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
        let images = Images::scan(folder.path(), &with_labels(LabelSource::Csv(csv))).unwrap();
        assert_eq!(images.os_name(1), name);
        assert_eq!(images.labels().unwrap().of_image, [None, Some(0)]);
    }

    #[test]
    fn a_pipe_that_looks_like_an_image_is_skipped() {
        let folder = folder_with(&["a.png"]);
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("b.png")).status();
        if !made.is_ok_and(|status| status.success()) {
            return; // The system has no mkfifo.
        }
        let images = Images::open(folder.path()).unwrap();
        assert_eq!((images.len(), images.skipped()[0].path.as_path()), (1, Path::new("b.png")));
    }

    #[test]
    fn a_folder_without_permission_is_skipped() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder_with(&["a.png", "closed/b.png"]);
        let closed = folder.path().join("closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let is_root = fs::read_dir(&closed).is_ok();
        let images = Images::open(folder.path());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        if !is_root {
            let images = images.unwrap();
            assert_eq!((images.len(), images.skipped()[0].path.as_path()), (1, Path::new("closed")));
        }
    }
}
