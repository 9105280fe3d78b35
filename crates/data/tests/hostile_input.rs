//! Files that are damaged, lie about themselves, or are no images.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use deepcluster_data::{DEFAULT_MAX_PIXELS, DataError, RgbImage8, decode_image, decode_image_bytes};
use image::{DynamicImage, ImageFormat, RgbImage};
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
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(image).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
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
