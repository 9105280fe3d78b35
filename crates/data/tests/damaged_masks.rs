//! Damaged masks of segmentation are refused or read, in memory that their length bounds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use deepcluster_damage::{CountingAllocator, ReaderTest, peak_allocation};
use deepcluster_data::LabelMap;
use png::{BitDepth, ColorType};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SIDE: u32 = 20;

/// A mask with classes that change from pixel to pixel.
fn mask(color: ColorType, depth: BitDepth) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE, SIDE);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(vec![7; 768]);
    }
    let row_bytes = (SIDE as usize * depth as usize).div_ceil(8);
    let rows: Vec<u8> = (0..row_bytes * SIDE as usize).map(|place| (place * place % 251) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&rows).unwrap();
    bytes
}

/// The file with right sums of its chunks, which damage would not get past.
fn with_right_sums(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let mut start = 8;
    while let Some(length) = file.get(start..start + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = start + 8 + length;
        if file.len() < end + 4 {
            break;
        }
        let sum = crc32fast::hash(&file[start + 4..end]);
        file[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        start = end + 4;
    }
    file
}

fn seeds() -> Vec<Vec<u8>> {
    use BitDepth::{Eight, Four, One, Two};
    let kinds = [
        (ColorType::Indexed, Eight),
        (ColorType::Grayscale, Eight),
        (ColorType::Indexed, Four),
        (ColorType::Grayscale, Two),
        (ColorType::Grayscale, One),
    ];
    kinds.map(|(color, depth)| mask(color, depth)).to_vec()
}

#[test]
fn masks() {
    for repaired in [false, true] {
        let packed = move |bytes: &[u8]| if repaired { with_right_sums(bytes) } else { bytes.to_vec() };
        let outcomes = ReaderTest::new("000001.png", seeds())
            .num_cases(3_000)
            .packed(packed)
            // As far as deflate expands, one bit to a label.
            .memory(9 * 1_032, 1 << 20)
            .run(LabelMap::read);
        assert!(outcomes.num_read > 0 && outcomes.num_refused > 0, "{outcomes:?}");
    }
}

#[test]
fn sizes_that_the_file_cannot_hold_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("000001.png");
    for seed in seeds() {
        let mut bytes = seed.clone();
        bytes[16..24].copy_from_slice(&[0, 0, 0x30, 0, 0, 0, 0x30, 0]);
        fs::write(&path, with_right_sums(&bytes)).unwrap();
        let (result, num_bytes) = peak_allocation(|| LabelMap::read(&path));
        let error = result.unwrap_err().to_string();
        assert!(error.contains("000001.png") && error.contains("cannot hold 12288 x 12288"), "{error}");
        assert!(num_bytes < 1 << 20, "{num_bytes}");
    }
}
