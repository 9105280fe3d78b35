//! Decoding against the pixels of Pillow: all kinds of `golden/make_decode.py`, and files that were once read
//! wrongly.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};

use deepcluster_data::{DEFAULT_MAX_PIXELS, RgbImage8, decode_image, decode_image_bytes};

fn decode(bytes: &[u8]) -> Result<RgbImage8, String> {
    decode_image_bytes(bytes, Path::new("image"), DEFAULT_MAX_PIXELS).map_err(|error| error.to_string())
}

/// Greatest mean and single difference that a kind may have.
///
/// Lossless kinds must agree exactly. Lossy ones leave to the decoder how it rounds the transform, which is
/// worth 1 to 3 in a few pixels, and how it blends subsampled chroma: the fast decoder weighs other
/// neighbours at the edges of blocks, which shows as up to 24 at sharp edges of colour and 1.5 in the mean of
/// these small pictures, and black inks multiply it. Scans that are combined wrongly differ by 10 to 140 in
/// the mean.
fn tolerance(name: &str) -> (f64, u8) {
    if name.contains("K subsampling") || name.contains("CMYK without Adobe") {
        (1.5, 40)
    } else if name.starts_with("jpeg") {
        (1.5, 24)
    } else if name.contains("jpeg") {
        (0.5, 4)
    } else {
        (0.0, 0)
    }
}

#[test]
fn every_kind_shows_the_pixels_of_pillow() {
    let cases = common::cases();
    let mut faults = Vec::new();
    for case in &cases {
        let image = match decode(&case.bytes) {
            Ok(image) => image,
            Err(reason) => {
                faults.push(format!("{}: {reason}", case.name));
                continue;
            }
        };
        if (image.width, image.height) != (case.width, case.height) {
            faults.push(format!("{}: {} x {}", case.name, image.width, image.height));
            continue;
        }
        let differences: Vec<u8> =
            image.pixels.iter().zip(&case.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
        let mean = differences.iter().copied().map(f64::from).sum::<f64>() / differences.len() as f64;
        let greatest = differences.into_iter().max().unwrap();
        let (most_mean, most) = tolerance(&case.name);
        if mean > most_mean || greatest > most {
            faults.push(format!("{}: mean {mean:.2}, greatest {greatest}", case.name));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert!(cases.len() > 500);
}

/// Files that were read wrongly or not at all, with their right size and means of the channels.
#[test]
fn files_once_read_wrongly_are_read_rightly() {
    let cases = [
        ("bigtiff.tif", (64, 48), [126.0, 117.5, 110.0], 0.1),
        ("fillorder2_grey8.tif", (48, 32), [117.5, 117.5, 117.5], 0.1),
        ("inter_420_96x96.jpg", (96, 96), [129.0, 128.6, 123.6], 0.6),
        ("noiend.png", (64, 48), [126.0, 117.5, 110.0], 0.1),
        ("orient6_II_long.jpg", (48, 64), [130.0, 125.0, 80.2], 0.6),
        ("orient6_II_short_prefix.webp", (48, 64), [130.0, 125.0, 80.0], 0.1),
        ("palette.tif", (64, 48), [126.3, 117.1, 109.9], 0.1),
        ("png_eXIf_after_IDAT.png", (48, 64), [130.0, 125.0, 80.0], 0.1),
        ("premultiplied_alpha.tif", (48, 32), [117.2, 108.3, 116.8], 0.1),
        ("scans_420_96x96.jpg", (96, 96), [129.0, 128.6, 123.6], 0.6),
        ("scans_422_33x41.jpg", (33, 41), [114.7, 135.8, 106.2], 0.6),
        ("scans_440_70x50.jpg", (70, 50), [129.5, 129.7, 121.0], 0.6),
        ("tiled_planar_40x24.tif", (40, 24), [97.5, 80.5, 93.0], 0.1),
        ("two_exif_6_then_1.jpg", (48, 64), [130.0, 125.0, 80.2], 0.6),
    ];
    for (name, size, means, tolerance) in cases {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
        let image = decode_image(&path, DEFAULT_MAX_PIXELS).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((image.width, image.height), size, "{name}");
        for (channel, expected) in means.into_iter().enumerate() {
            let values = image.pixels.iter().skip(channel).step_by(3);
            let mean = values.copied().map(f64::from).sum::<f64>() / f64::from(image.width * image.height);
            assert!((mean - expected).abs() <= tolerance, "{name}: {mean} instead of {expected}");
        }
    }
}

/// Changes a field of a little-endian TIFF with one value in place.
fn with_field(tiff: &[u8], tag: u16, value: u16) -> Vec<u8> {
    let mut bytes = tiff.to_vec();
    let start = 8 + 2;
    let place = (start..).step_by(12).find(|place| bytes[*place..][..2] == tag.to_le_bytes()).unwrap();
    bytes[place + 8..place + 10].copy_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn kinds_of_tiff_that_are_not_read_are_refused_with_the_reason() {
    let cases = common::cases();
    let find = |name: &str| cases.iter().find(|case| case.name == name).unwrap().bytes.clone();
    let (rgb, grey) = (find("tiff strips"), find("tiff 8 bits photometric 1 <"));
    let float = find("tiff floats of 32 bits photometric 1 <");
    for (bytes, tag, value, expected) in [
        (&rgb, 262, 8, "L*a*b*"),
        (&rgb, 262, 9, "L*a*b*"),
        (&rgb, 262, 32_803, "raw sensor"),
        (&rgb, 262, 77, "interpretation 77"),
        (&rgb, 262, 5, "samples"),
        (&rgb, 259, 2, "run lengths"),
        (&rgb, 259, 3, "group 3"),
        (&rgb, 259, 4, "group 4"),
        (&rgb, 259, 6, "old kind"),
        (&rgb, 259, 34_887, "LERC"),
        (&rgb, 259, 34_925, "LZMA"),
        (&rgb, 259, 50_000, "Zstandard"),
        (&rgb, 259, 50_001, "WebP"),
        (&rgb, 259, 777, "compression 777"),
        (&grey, 258, 17, "17 bits"),
        (&grey, 258, 32, "32 bits"),
        (&grey, 262, 3, "colour map"),
        (&float, 339, 2, "signed"),
        (&float, 339, 6, "complex"),
        (&float, 258, 16, "floating-point samples of 16 bits"),
    ] {
        let reason = decode(&with_field(bytes, tag, value)).unwrap_err();
        assert!(reason.contains(expected), "{tag} = {value}: {reason}");
    }
    // 255 times as large as what has a scale.
    let mut large = float.clone();
    let place = large.len() - 4;
    large[place..].copy_from_slice(&200.0_f32.to_le_bytes());
    let reason = decode(&large).unwrap_err();
    assert!(reason.contains("outside 0 to 1"), "{reason}");
}

#[test]
fn files_that_end_behind_their_last_pixel_are_read() {
    let cases = common::cases();
    let scans = cases.iter().find(|case| case.name == "jpeg 420 three-scans 19x21 restart 0").unwrap();
    let image = decode(&scans.bytes[..scans.bytes.len() - 2]).unwrap();
    assert_eq!(image, decode(&scans.bytes).unwrap());
    for (name, num_bytes) in [
        // The end chunk of 12 bytes, the checksum of the last chunk of pixels and that of their stream.
        ("png rgb", 20),
        ("png palette", 20),
        ("png sixteen bits", 20),
        ("png interlaced rgb", 20),
        // The trailer and the end of the blocks.
        ("gif interlace 0", 2),
        ("gif interlace 1", 2),
    ] {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        for left_out in 1..=num_bytes {
            let image = decode(&case.bytes[..case.bytes.len() - left_out]);
            let image = image.unwrap_or_else(|reason| panic!("{name} without {left_out} bytes: {reason}"));
            assert!(image.pixels == case.pixels, "{name} without {left_out} bytes");
        }
        // Cut within the pixels.
        let half = &case.bytes[..case.bytes.len() - 80];
        assert!(decode(half).is_err(), "{name}");
    }
}
