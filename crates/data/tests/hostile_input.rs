//! Files that are damaged, misleading or not images.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use deepcluster_data::{DEFAULT_MAX_PIXELS, DataError, RgbImage8, decode_image, decode_image_bytes};
use deepcluster_testing::encode;
use image::{ImageFormat, RgbImage};
use proptest::prelude::*;

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Gif,
];

fn decode(bytes: &[u8]) -> Result<RgbImage8, DataError> {
    decode_image_bytes(bytes, Path::new("image"), DEFAULT_MAX_PIXELS)
}

fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let image =
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 37) as u8, (y * 53) as u8, (x * y) as u8]));
    encode(image, format)
}

/// A PNG whose header states a size, followed by a little compressed data.
fn png_of_stated_size(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encoded(1, 1, ImageFormat::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn truncated_files_are_errors_or_whole_images() {
    for format in FORMATS {
        let bytes = encoded(40, 30, format);
        let step = (bytes.len() / 200).max(1);
        for length in (0..bytes.len()).step_by(step) {
            match decode(&bytes[..length]) {
                Ok(image) => {
                    image.validate().unwrap();
                    assert_eq!((image.width, image.height), (40, 30), "{format:?} cut to {length}");
                }
                Err(error) => assert!(matches!(error, DataError::Decode { .. }), "{format:?}: {error}"),
            }
        }
        assert!(decode(&bytes[..bytes.len() / 8]).is_err(), "{format:?}");
        decode(&bytes).unwrap();
    }
}

#[test]
fn a_decompression_bomb_is_refused_by_its_header() {
    let start = Instant::now();
    let bytes = png_of_stated_size(50_000, 50_000);
    let error = decode(&bytes).unwrap_err();
    assert!(matches!(error, DataError::TooManyPixels { width: 50_000, height: 50_000, .. }), "{error}");
    // Within the bound on pixels, but with hardly any data.
    let error = decode(&png_of_stated_size(13_000, 13_000)).unwrap_err();
    assert!(matches!(error, DataError::Decode { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_bound_on_pixels_is_exact() {
    for format in FORMATS {
        let bytes = encoded(5, 4, format);
        decode_image_bytes(&bytes, Path::new("image"), 20).unwrap();
        let error = decode_image_bytes(&bytes, Path::new("image"), 19).unwrap_err();
        assert!(matches!(error, DataError::TooManyPixels { max_pixels: 19, .. }), "{format:?}: {error}");
    }
}

#[test]
fn images_of_one_pixel_are_read() {
    for format in FORMATS {
        let image = decode(&encoded(1, 1, format)).unwrap();
        assert_eq!((image.width, image.height), (1, 1), "{format:?}");
    }
}

#[test]
fn files_that_are_no_images_are_errors_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8], &str); 3] = [
        ("text.jpg", b"Dear reader, this is no image.", "content"),
        ("empty.png", b"", "empty"),
        ("two.gif", b"GI", "content"),
    ];
    for (name, content, expected) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = decode_image(&path, 100).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    let error = decode_image(folder.path(), 100).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    let error = decode_image(&folder.path().join("missing.png"), 100).unwrap_err();
    assert!(matches!(error, DataError::Io { action: "open", .. }), "{error}");
}

/// A JPEG whose scans are repeated, and whose header states another size.
fn with_many_scans(width: u16, height: u16, times: usize) -> Vec<u8> {
    let cases = common::cases();
    let case = cases.iter().find(|case| case.name.starts_with("jpeg 444 progressive ")).unwrap();
    let place = |marker: &[u8]| case.bytes.windows(2).position(|window| window == marker).unwrap();
    let (frame, scans) = (place(b"\xFF\xC2"), place(b"\xFF\xDA"));
    let mut bytes = case.bytes[..scans].to_vec();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes.extend(case.bytes[scans..case.bytes.len() - 2].repeat(times));
    bytes.extend(b"\xFF\xD9");
    bytes
}

#[test]
fn scans_that_would_take_minutes_are_refused_and_many_of_a_small_image_are_read() {
    let start = Instant::now();
    let reason = decode(&with_many_scans(12_000, 12_000, 400)).unwrap_err().to_string();
    assert!(reason.contains("scans are too many"), "{reason}");
    decode(&with_many_scans(400, 300, 30)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// Small files that claim 11000 x 11000 pixels, on as many threads as there are files.
#[test]
#[cfg(target_os = "linux")]
fn decoders_share_one_budget_of_memory() {
    // The most memory that one process has used counts all tests in it, so that this one has a process of its
    // own.
    const VARIABLE: &str = "DEEPCLUSTER_TEST_BUDGET";
    if std::env::var_os(VARIABLE).is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["decoders_share_one_budget_of_memory", "--exact", "--nocapture"])
            .env(VARIABLE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let cases = common::cases();
    let case = cases.iter().find(|case| case.name.starts_with("jpeg 444 interleaved")).unwrap();
    let frame = case.bytes.windows(2).position(|window| window == b"\xFF\xC0").unwrap();
    let mut bytes = case.bytes.clone();
    bytes[frame + 5..frame + 9].copy_from_slice(b"\x2A\xF8\x2A\xF8");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            // 11000 x 11000 pixels: 363 MB, and 2.9 GB for all.
            scope.spawn(|| decode(&bytes).map(|image| image.pixels.len()));
        }
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let most_kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(most_kib < 1800 << 10, "{} MiB", most_kib >> 10);
}

/// One change of a file: kind, place, size or value.
type Change = (u8, prop::sample::Index, prop::sample::Index, u32);

fn change(bytes: &mut Vec<u8>, other: &[u8], (kind, place, second, value): Change) {
    const EDGES: [u32; 10] =
        [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    // Mostly in the header, where numbers are believed.
    let place = if value % 3 == 0 { place.index(length) } else { place.index(length.min(256)) };
    let size = [1, 4, 16, 64, 512][value as usize % 5].min(length - place);
    let edge = EDGES[value as usize % EDGES.len()];
    match kind % 10 {
        0 => bytes[place] ^= 1 << (value % 8),
        1 => bytes[place] = edge as u8,
        2 | 3 => {
            let number = if value % 2 == 0 { edge.to_le_bytes() } else { edge.to_be_bytes() };
            let width = [2, 4][value as usize % 2].min(length - place);
            bytes[place..place + width].copy_from_slice(&number[..width]);
        }
        4 => bytes.truncate(second.index(length)),
        5 => bytes[place..place + size].fill(0),
        6 => drop(bytes.drain(place..place + size)),
        7 => {
            let block = bytes[place..place + size].to_vec();
            bytes.splice(place..place, block);
        }
        8 => {
            let start = second.index(other.len());
            let block = other[start..other.len().min(start + size)].to_vec();
            bytes.splice(place..place + size, block);
        }
        _ => {
            let start = second.index(length - size + 1);
            let block = bytes[start..start + size].to_vec();
            bytes[place..place + size].copy_from_slice(&block);
        }
    }
}

/// New checksums for all chunks, so that damage reaches what is behind them.
fn repair_png(bytes: &mut [u8]) {
    let mut place = 8;
    while let Some(length) = bytes.get(place..place + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = place + 8 + length;
        if end + 4 > bytes.len() {
            return;
        }
        let checksum = crc32(&bytes[place + 4..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
        place = end + 4;
    }
}

/// The reader of orientations and the decoder of every kind get damaged files; no panic escapes, and all
/// together keep the bound on memory.
#[test]
fn damaged_files_of_every_kind_are_errors_or_whole_images() {
    let cases = common::cases();
    let change_of = || any::<Change>();
    let strategy = (0..cases.len(), 0..cases.len(), prop::collection::vec(change_of(), 1..4), any::<bool>());
    let config = ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&strategy, |(number, other, changes, is_repaired)| {
        let mut bytes = cases[number].bytes.clone();
        for change_made in changes {
            change(&mut bytes, &cases[other].bytes, change_made);
        }
        if is_repaired && bytes.starts_with(b"\x89PNG") {
            repair_png(&mut bytes);
        }
        match decode_image_bytes(&bytes, Path::new("damaged"), 1 << 20) {
            Ok(image) => image.validate().unwrap(),
            Err(DataError::Decode { reason, .. }) => assert!(!reason.contains("panicked"), "{reason}"),
            Err(DataError::TooManyPixels { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        Ok(())
    });
    outcome.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(format in 0..6_usize, noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let start: &[u8] = match FORMATS[format] {
            ImageFormat::Jpeg => b"\xFF\xD8\xFF\xE0",
            ImageFormat::Png => b"\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR",
            ImageFormat::WebP => b"RIFF\x80\0\0\0WEBPVP8 ",
            ImageFormat::Bmp => b"BM",
            ImageFormat::Tiff => b"II*\0\x08\0\0\0",
            _ => b"GIF89a",
        };
        if let Ok(image) = decode_image_bytes(&[start, &noise].concat(), Path::new("noise"), 1 << 20) {
            image.validate().unwrap();
        }
    }

    #[test]
    fn changed_bytes_never_panic(
        format in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = encoded(24, 17, FORMATS[format]);
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if let Ok(image) = decode_image_bytes(&bytes, Path::new("noise"), 1 << 20) {
            image.validate().unwrap();
        }
    }
}
