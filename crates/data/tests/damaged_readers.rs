//! Damaged and random copies of every text and cache file that is read: an error that names the file, or the
//! right result.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deepcluster_data::{
    DataError, DiskCacheConfig, ImageBatch, Images, LabelSource, Loader, LoaderConfig, Normalization, Sample,
    ScanConfig, SyntheticConfig, Transform, VocFolder, VocTask, write_synthetic_folder,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

/// A change to a file.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Repeat(Index, u8, u8),
    Cut(Index),
    Numbers(Index, u32),
}

fn damages(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<Damage>> {
    let piece = prop_oneof![
        prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..40),
    ];
    let numbers = prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(1 << 31), Just(65_535), any::<u32>()];
    let damage = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Damage::Set(place, byte)),
        (any::<Index>(), piece).prop_map(|(place, bytes)| Damage::Insert(place, bytes)),
        (any::<Index>(), any::<u8>()).prop_map(|(place, length)| Damage::Remove(place, length)),
        (any::<Index>(), any::<u8>(), any::<u8>())
            .prop_map(|(place, length, times)| Damage::Repeat(place, length, times)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), numbers).prop_map(|(place, number)| Damage::Numbers(place, number)),
    ];
    prop::collection::vec(damage, 1..5)
}

fn damaged(original: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for damage in damages {
        let place = |index: &Index| index.index(bytes.len() + 1);
        match damage {
            Damage::Set(index, byte) if !bytes.is_empty() => {
                let place = index.index(bytes.len());
                bytes[place] = *byte;
            }
            Damage::Set(..) => {}
            Damage::Insert(index, piece) => {
                let place = place(index);
                bytes.splice(place..place, piece.iter().copied());
            }
            Damage::Remove(index, length) => {
                let start = place(index);
                let end = bytes.len().min(start + usize::from(*length));
                bytes.drain(start..end);
            }
            Damage::Repeat(index, length, times) => {
                let start = place(index);
                let end = bytes.len().min(start + usize::from(*length));
                let piece = bytes[start..end].repeat((*times).into());
                bytes.splice(start..start, piece);
            }
            Damage::Cut(index) => {
                let place = place(index);
                bytes.truncate(place);
            }
            Damage::Numbers(index, number) => {
                let start = place(index);
                let end = bytes.len().min(start + 4);
                bytes.splice(start..end, number.to_le_bytes());
            }
        }
    }
    bytes
}

const LABELS: &str = "id;path;label\n1;a/1.png;dog\n2;\"a/2.png\";cat\n3;b/3.png;\n";
const LABEL_PIECES: &[&str] =
    &["\"", ";", ",", "\t", "|", "\n", "\r", "\u{feff}", "path", "label", "file", "../", "/", "\0"];
const NAMES: &str = "\u{feff}a 1\r\nb -1\nsub/c\n\n";
const NAME_PIECES: &[&str] = &["../", "/", "..", ".", "\n", " ", "\t", "\0", "\u{feff}", "\\"];
const ANNOTATION: &str = "<?xml version=\"1.0\"?><annotation><filename>a.jpg</filename>\
    <size><width>90</width></size><object>\
    <name>dog</name><difficult>1</difficult><bndbox>\
    <xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>\
    <object><name>cat</name><bndbox>\
    <xmin>3</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>";
const ANNOTATION_PIECES: &[&str] = &[
    "<object>",
    "</object>",
    "<name/>",
    "<bndbox>",
    "&lt;",
    "&#0;",
    "&a;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "nan",
    "inf",
    "1e39",
    "-7",
    "<!DOCTYPE a [<!ENTITY a \"&a;&a;\">]>",
    "xmlns:a=\"a\"",
    "\0",
    "<a>",
];

fn images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "b/3.png"] {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

/// Labels by a file of these bytes; what is refused is refused with the name of the file.
fn check_labels(folder: &Path, bytes: &[u8]) {
    let path = folder.join("the labels.csv");
    fs::write(&path, bytes).unwrap();
    match Images::scan(folder, &ScanConfig { labels: LabelSource::Csv(path) }) {
        Ok(images) => {
            if let Some(labels) = images.labels() {
                assert_eq!(labels.of_image.len(), 3);
                assert!(labels.of_image.iter().flatten().all(|&class| (class as usize) < labels.names.len()));
                assert!(labels.names.is_sorted() && labels.names.len() <= 3);
            }
        }
        Err(error) => assert!(error.to_string().contains("the labels.csv"), "{error}"),
    }
}

fn voc() -> (TempDir, VocFolder) {
    let root = tempfile::tempdir().unwrap();
    for folder in ["JPEGImages", "Annotations", "ImageSets/Main"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let folder = VocFolder::open(root.path()).unwrap();
    (root, folder)
}

fn check_names(root: &Path, folder: &VocFolder, bytes: &[u8]) {
    fs::write(root.join("ImageSets/Main/train.txt"), bytes).unwrap();
    match folder.image_set(VocTask::Main, "train") {
        Ok(names) => {
            assert!(!names.is_empty());
            let images = root.join("JPEGImages");
            for name in names {
                let path = folder.image_path(&name);
                assert!(path.starts_with(&images) && !name.split('/').any(|part| part == ".."), "{name:?}");
            }
        }
        Err(error) => assert!(error.to_string().contains("train.txt"), "{error}"),
    }
}

fn check_annotation(root: &Path, folder: &VocFolder, bytes: &[u8]) {
    fs::write(root.join("Annotations/a.xml"), bytes).unwrap();
    match folder.annotation("a") {
        Ok(annotation) => {
            for object in annotation.objects {
                let sides = [object.x_min, object.y_min, object.x_max, object.y_max];
                assert!(sides.iter().all(|side| side.is_finite() && *side >= 0.0), "{sides:?}");
                assert!(object.x_min <= object.x_max && object.y_min <= object.y_max, "{sides:?}");
            }
        }
        Err(error) => {
            assert!(matches!(error, DataError::MalformedAnnotation { .. } | DataError::Io { .. }));
            assert!(error.to_string().contains("a.xml"), "{error}");
        }
    }
}

/// Tries `check` on many values.
fn for_all<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, check: impl Fn(T)) {
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&strategy, |value| {
        check(value);
        Ok(())
    });
    outcome.unwrap();
}

fn random_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

#[test]
fn label_files_give_labels_or_an_error_that_names_them() {
    let folder = images();
    for_all(damages(LABEL_PIECES), |damages| {
        check_labels(folder.path(), &damaged(LABELS.as_bytes(), &damages))
    });
    for_all(random_bytes(), |bytes| check_labels(folder.path(), &bytes));
}

#[test]
fn lists_of_voc_give_names_within_the_folder_or_an_error_that_names_them() {
    let (root, folder) = voc();
    let check = |bytes: &[u8]| check_names(root.path(), &folder, bytes);
    for_all(damages(NAME_PIECES), |damages| check(&damaged(NAMES.as_bytes(), &damages)));
    for_all(random_bytes(), |bytes| check(&bytes));
}

#[test]
fn annotations_of_voc_give_boxes_or_an_error_that_names_them() {
    let (root, folder) = voc();
    let check = |bytes: &[u8]| check_annotation(root.path(), &folder, bytes);
    for_all(damages(ANNOTATION_PIECES), |damages| check(&damaged(ANNOTATION.as_bytes(), &damages)));
    for_all(random_bytes(), |bytes| check(&bytes));
}

/// A cache of a few images, whole.
struct Kept {
    _root: TempDir,
    images: Arc<Images>,
    folder: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

const NUM_IMAGES: usize = 6;
const MAX_BYTES: u64 = 1 << 20;

impl Kept {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let drawings = SyntheticConfig { num_images: NUM_IMAGES, image_size: 24, seed: 3 };
        write_synthetic_folder(&root.path().join("images"), &drawings, &mut |_| {}).unwrap();
        let images = Arc::new(Images::open(root.path().join("images")).unwrap());
        let folder = root.path().join("cache");
        let mut kept = Self { _root: root, images, folder, files: Vec::new() };
        kept.read();
        let entries = fs::read_dir(&kept.folder).unwrap().map(|entry| entry.unwrap().path());
        kept.files = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        kept.files.sort();
        assert_eq!(kept.files.len(), NUM_IMAGES + 1);
        kept
    }

    fn read(&self) -> ImageBatch {
        let disk_cache = Some(DiskCacheConfig { folder: self.folder.clone(), max_bytes: MAX_BYTES });
        let config = LoaderConfig { num_workers: 1, cache_bytes: 0, disk_cache, ..LoaderConfig::default() };
        let loader = Loader::new(self.images.clone(), config).unwrap();
        let transform = Transform::Center { resize: 24, size: 24, normalization: Normalization::default() };
        let samples = (0..NUM_IMAGES)
            .map(|image_index| Sample { image_index, augmentation_seed: 0, crop: 0 })
            .collect();
        loader.batches(transform, vec![samples]).next().unwrap()
    }

    fn restore(&self) {
        for (path, bytes) in &self.files {
            fs::write(path, bytes).unwrap();
        }
    }
}

/// Most bytes this process has had in memory.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

#[test]
fn damaged_cache_files_change_no_pixel_and_take_no_memory() {
    let kept = Kept::new();
    let whole = kept.read();
    assert!(whole.failures.is_empty());
    // A hole at the end makes a file of any length.
    let lengths = prop_oneof![3 => Just(None), 1 => (0_u64..1 << 34).prop_map(Some)];
    let cases = (any::<Index>(), damages(&["DCRGB\0\0\x02", "DCUSED\0\x01"]), lengths);
    for_all(cases, |(file, damages, length)| {
        kept.restore();
        let (path, bytes) = &kept.files[file.index(kept.files.len())];
        fs::write(path, damaged(bytes, &damages)).unwrap();
        if let Some(length) = length {
            lengthen(path, length);
        }
        assert!(kept.read() == whole);
        assert!(kept.read() == whole);
    });
    // Sizes that fit the length of a file, but not the image: 504 MB within the bound on pixels, and 4.3 GB
    // beyond it.
    for (width, height) in [(12_000_u32, 14_000_u32), (65_535, 21_845)] {
        kept.restore();
        for (path, bytes) in &kept.files[..2] {
            let header = 12 + u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
            let mut bytes = bytes.clone();
            bytes[header..header + 4].copy_from_slice(&width.to_le_bytes());
            bytes[header + 4..header + 8].copy_from_slice(&height.to_le_bytes());
            fs::write(path, &bytes).unwrap();
            lengthen(path, header as u64 + 12 + u64::from(width) * u64::from(height) * 3);
        }
        assert!(kept.read() == whole);
    }
    if let Some(bytes) = peak_bytes() {
        assert!(bytes < 300 << 20, "{} MiB", bytes >> 20);
    }
}

fn lengthen(path: &Path, length: u64) {
    // Not every file system has files of this length.
    let _ = File::options().write(true).open(path).unwrap().set_len(length);
}
