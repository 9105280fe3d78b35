//! Checks that every source of images must pass. A new one is added to the list in each test.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::decode::bytes::ImageBytes;
use crate::source::closed::ClosedSource;
use crate::source::{FolderSource, ImageSource, Images, Location};
use crate::synthetic::{SyntheticConfig, write_synthetic_folder};

/// Names and bytes of images in memory, with a version that is the hash of both.
#[derive(Debug)]
struct Memory(Vec<(String, Mutex<Vec<u8>>)>);

impl ImageSource for Memory {
    fn location(&self) -> Location {
        Location::Other("memory:checks".into())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> &str {
        &self.0[index].0
    }

    fn read(&self, index: usize) -> io::Result<ImageBytes> {
        let (_, bytes) = self.0.get(index).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.lock().unwrap().clone().into())
    }

    fn version(&self, index: usize) -> Option<u128> {
        let (name, bytes) = self.0.get(index)?;
        Some(xxhash_rust::xxh3::xxh3_128(&[name.as_bytes(), &bytes.lock().unwrap()].concat()))
    }
}

/// Writes other bytes for an image.
type Replace = Box<dyn Fn(usize, &[u8])>;

/// A source, the bytes of each image, and a way to replace those of one.
struct Case {
    name: &'static str,
    source: Arc<dyn ImageSource>,
    expected: Vec<Vec<u8>>,
    replace: Replace,
    _folder: TempDir,
}

fn cases() -> Vec<Case> {
    let folder = tempfile::tempdir().unwrap();
    let drawings = SyntheticConfig { num_images: 12, image_size: 16, seed: 3 };
    write_synthetic_folder(folder.path(), &drawings, &mut |_| {}).unwrap();
    let images = Images::open(folder.path()).unwrap();
    let paths: Vec<_> = (0..images.len()).map(|index| images.file(index).unwrap()).collect();
    let expected: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let names = (0..images.len()).map(|index| images.name(index).to_string());
    let memory = Arc::new(Memory(names.zip(expected.iter().cloned().map(Mutex::new)).collect()));
    let in_memory = memory.clone();
    vec![
        Case {
            name: "folder",
            source: images.source().clone(),
            expected: expected.clone(),
            replace: Box::new(move |index, bytes| fs::write(&paths[index], bytes).unwrap()),
            _folder: folder,
        },
        Case {
            name: "memory",
            source: memory,
            expected,
            replace: Box::new(move |index, bytes| *in_memory.0[index].1.lock().unwrap() = bytes.to_vec()),
            _folder: tempfile::tempdir().unwrap(),
        },
    ]
}

#[test]
fn names_are_unique_and_in_a_stable_order() {
    for Case { name, source, expected, .. } in cases() {
        assert_eq!((source.len(), source.is_empty()), (expected.len(), false), "{name}");
        let names = || (0..source.len()).map(|index| source.name(index).to_string()).collect::<Vec<_>>();
        let first = names();
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), source.len(), "{name}");
        assert_eq!(names(), first, "{name}");
        assert!((0..source.len()).all(|index| source.os_name(index) == OsStr::new(&first[index])), "{name}");
    }
}

#[test]
fn what_is_read_is_the_image_in_any_order_and_by_many_threads() {
    for Case { name, source, expected, .. } in cases() {
        let check = &|index: usize| {
            let bytes = source.read(index).unwrap();
            assert_eq!(bytes.len(), expected[index].len() as u64, "{name}");
            assert_eq!(bytes.into_vec().unwrap(), expected[index], "{name}");
            if let Some(file) = source.file(index) {
                assert_eq!(fs::read(file).unwrap(), expected[index], "{name}");
            }
        };
        let num_images = source.len();
        (0..num_images).rev().for_each(check);
        std::thread::scope(|scope| {
            for first in 0..4 {
                scope.spawn(move || (first..num_images).step_by(4).for_each(check));
            }
        });
        let images = Images::from_source(source.clone());
        assert!((0..images.len()).all(|index| images.decode(index, 1 << 20).is_ok()), "{name}");
    }
}

#[test]
fn a_version_changes_with_the_image_and_with_nothing_else() {
    for Case { name, source, expected, replace, .. } in cases() {
        let versions = || (0..source.len()).map(|index| source.version(index)).collect::<Vec<_>>();
        let before = versions();
        assert_eq!(before.iter().flatten().collect::<HashSet<_>>().len(), source.len(), "{name}");
        assert_eq!(versions(), before, "{name}");
        replace(3, &[expected[4].as_slice(), b"more"].concat());
        let after = versions();
        let changed: Vec<usize> = (0..source.len()).filter(|&index| before[index] != after[index]).collect();
        assert_eq!(changed, [3], "{name}");
    }
}

#[test]
fn an_image_that_is_not_there_is_an_error() {
    for Case { name, source, .. } in cases() {
        for index in [source.len(), usize::MAX] {
            assert!(source.read(index).is_err(), "{name}");
            assert_eq!((source.version(index), source.file(index)), (None, None), "{name}");
        }
    }
    let gone = FolderSource::new("nowhere".into(), vec!["a.png".into()]);
    assert_eq!(gone.read(0).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!((gone.version(0), gone.is_there()), (None, false));
}

#[test]
fn the_place_of_a_source_has_a_text_that_leads_back() {
    for Case { name, source, .. } in cases() {
        let location = source.location();
        assert_eq!(Location::parse(&location.text().unwrap()), location, "{name}");
        let names: Vec<_> = (0..source.len()).map(|index| source.os_name(index).into()).collect();
        let again = location.images(names, None);
        assert_eq!((again.location(), again.len(), again.name(5)), (location, source.len(), source.name(5)));
    }
}

#[test]
fn a_closed_source_has_names_and_no_images() {
    let source = ClosedSource::new(Location::Other("cloud:album".into()), vec!["a".into(), "b".into()]);
    assert_eq!((source.len(), source.name(1), source.is_there()), (2, "b", false));
    let error = source.read(0).unwrap_err();
    assert!(error.kind() == io::ErrorKind::Unsupported && error.to_string().contains("cloud:album"));
}

#[cfg(unix)]
#[test]
fn names_that_are_not_unicode_have_a_text_and_are_found_again() {
    use std::os::unix::ffi::OsStrExt;

    let name = Path::new(OsStr::from_bytes(b"caf\xe9.png"));
    let source = FolderSource::new("root".into(), vec!["a.png".into(), name.into()]);
    assert_eq!((source.name(1), source.os_name(1)), ("caf\u{fffd}.png", name.as_os_str()));
    assert_eq!(source.file(1), Some(Path::new("root").join(name)));
}
