//! Every readable format, with the variants that are met in the wild.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use deepcluster_data::{DEFAULT_MAX_PIXELS, RgbImage8, decode_image, decode_image_bytes};
use deepcluster_testing::encode;
use image::{GrayAlphaImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

const RED: [u8; 3] = [200, 30, 30];
const GREEN: [u8; 3] = [30, 200, 30];
const BLUE: [u8; 3] = [30, 30, 200];
const WHITE: [u8; 3] = [240, 240, 240];

fn decode(bytes: &[u8]) -> RgbImage8 {
    decode_image_bytes(bytes, Path::new("image"), DEFAULT_MAX_PIXELS).unwrap()
}

fn pixel(image: &RgbImage8, x: u32, y: u32) -> [u8; 3] {
    let start = ((y * image.width + x) * 3) as usize;
    [image.pixels[start], image.pixels[start + 1], image.pixels[start + 2]]
}

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// Compares the middles of the four quarters: above left, above right, below left, below right.
fn assert_quarters(image: &RgbImage8, expected: [[u8; 3]; 4], tolerance: u8, name: &str) {
    let (width, height) = (image.width, image.height);
    for (index, expected) in (0_u32..).zip(expected) {
        let (x, y) = (width / 4 + index % 2 * width / 2, height / 4 + index / 2 * height / 2);
        let actual = pixel(image, x, y);
        let close = actual.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= tolerance);
        assert!(close, "{name}, quarter {index}: {actual:?} instead of {expected:?}");
    }
}

/// Red and green above, blue and white below.
fn quarters(width: u32, height: u32) -> RgbImage {
    let colors = [RED, GREEN, BLUE, WHITE];
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(colors[(usize::from(2 * x >= width)) + 2 * usize::from(2 * y >= height)])
    })
}

/// A JPEG with an EXIF segment that holds nothing but the orientation.
fn jpeg_with_orientation(image: RgbImage, orientation: u8) -> Vec<u8> {
    let jpeg = encode(image, ImageFormat::Jpeg);
    // Big-endian TIFF header, one entry: tag 0x0112, type SHORT, count 1.
    let mut exif = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() + 2) as u16;
    let segment = [&[0xFF, 0xE1][..], &length.to_be_bytes(), &exif].concat();
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

#[test]
fn lossless_formats_give_the_exact_pixels() {
    let image = quarters(6, 4);
    let formats =
        [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Gif];
    for format in formats {
        let decoded = decode(&encode(image.clone(), format));
        assert_eq!((decoded.width, decoded.height), (6, 4), "{format:?}");
        assert_eq!(decoded.pixels, image.as_raw().as_slice(), "{format:?}");
    }
}

#[test]
fn jpeg_gives_nearly_the_same_pixels() {
    let decoded = decode(&encode(quarters(32, 32), ImageFormat::Jpeg));
    assert_quarters(&decoded, [RED, GREEN, BLUE, WHITE], 4, "jpeg");
}

#[test]
fn every_exif_orientation_is_applied() {
    // For each orientation the stored quarters, named by where they must appear; see the EXIF standard, tag
    // 274.
    let expected = [
        [RED, GREEN, BLUE, WHITE],
        [GREEN, RED, WHITE, BLUE],
        [WHITE, BLUE, GREEN, RED],
        [BLUE, WHITE, RED, GREEN],
        [RED, BLUE, GREEN, WHITE],
        [BLUE, RED, WHITE, GREEN],
        [WHITE, GREEN, BLUE, RED],
        [GREEN, WHITE, RED, BLUE],
    ];
    for (orientation, expected) in (1..).zip(expected) {
        let decoded = decode(&jpeg_with_orientation(quarters(48, 32), orientation));
        let size = if orientation < 5 { (48, 32) } else { (32, 48) };
        assert_eq!((decoded.width, decoded.height), size, "orientation {orientation}");
        assert_quarters(&decoded, expected, 4, &format!("orientation {orientation}"));
    }
}

#[test]
fn damaged_exif_is_no_reason_to_refuse_an_image() {
    let mut bytes = jpeg_with_orientation(quarters(32, 32), 99);
    assert_quarters(&decode(&bytes), [RED, GREEN, BLUE, WHITE], 4, "orientation 99");
    bytes[14..24].fill(0xFF);
    assert_quarters(&decode(&bytes), [RED, GREEN, BLUE, WHITE], 4, "no TIFF header");
}

#[test]
fn sixteen_bits_grey_and_alpha_become_eight_bit_rgb() {
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let rgb = ImageBuffer::<Rgb<u16>, _>::from_pixel(2, 2, Rgb([65_535, 257, 0]));
        assert_eq!(pixel(&decode(&encode(rgb, format)), 1, 1), [255, 1, 0], "{format:?}");
        let grey = ImageBuffer::<Luma<u16>, _>::from_pixel(2, 2, Luma([25_700]));
        assert_eq!(pixel(&decode(&encode(grey, format)), 1, 1), [100, 100, 100], "{format:?}");
        // Transparent pixels keep their colour.
        let rgba = RgbaImage::from_pixel(2, 2, Rgba([10, 20, 30, 0]));
        assert_eq!(pixel(&decode(&encode(rgba, format)), 1, 1), [10, 20, 30], "{format:?}");
    }
    let grey_alpha = GrayAlphaImage::from_pixel(2, 2, image::LumaA([77, 3]));
    assert_eq!(pixel(&decode(&encode(grey_alpha, ImageFormat::Png)), 0, 0), [77, 77, 77]);
}

#[test]
fn files_written_by_pillow_show_the_same() {
    let colors = [RED, GREEN, BLUE, WHITE];
    let greys = [[81; 3], [130; 3], [49; 3], [240; 3]];
    let cases = [
        ("progressive.jpg", colors, 2),
        ("subsampled.jpg", colors, 2),
        ("grey.jpg", greys, 1),
        ("cmyk.jpg", colors, 3),
        // The colours Pillow decodes are different, since the values of cmyk.jpg are taken as YCCK.
        ("ycck.jpg", [[192, 0, 229], [255, 180, 97], [124, 243, 255], [0, 134, 0]], 3),
        ("cmyk.tif", colors, 2),
        ("lzw.tif", colors, 0),
        ("palette.png", colors, 0),
        ("one-bit.png", [[255; 3], [0; 3], [0; 3], [255; 3]], 0),
        ("two-frames.gif", colors, 0),
        ("lossy.webp", colors, 3),
        ("palette.bmp", colors, 0),
    ];
    for (name, expected, tolerance) in cases {
        let decoded = decode_image(&committed(name), DEFAULT_MAX_PIXELS)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((decoded.width, decoded.height), (32, 32), "{name}");
        assert_quarters(&decoded, expected, tolerance, name);
    }
}

#[test]
fn the_content_counts_and_not_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really-a-png.jpg");
    std::fs::write(&path, encode(quarters(4, 4), ImageFormat::Png)).unwrap();
    assert_eq!(decode_image(&path, 16).unwrap().pixels, quarters(4, 4).into_raw());
}
