//! Damaged files of proposals are refused or read, in memory that their length bounds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use deepcluster_damage::{CountingAllocator, ReaderTest, peak_allocation};
use deepcluster_evaluation::BoundingBox;
use deepcluster_transfer::proposals::{Proposals, read_proposals, write_proposals};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Written by SciPy: `tests/python/make_proposals.py`.
const COMPRESSED: &[u8] = include_bytes!("data/compressed.mat");
const PLAIN: &[u8] = include_bytes!("data/plain.mat");
/// Bytes of the head of a MATLAB file.
const HEAD: usize = 128;

/// The variables of a compressed file, each with its length before it, as one run of bytes to damage.
fn unpacked(file: &[u8]) -> Vec<u8> {
    let mut bytes = file[..HEAD].to_vec();
    let mut rest = &file[HEAD..];
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        ZlibDecoder::new(&rest[8..8 + len]).read_to_end(&mut bytes).unwrap();
        rest = &rest[8 + len..];
    }
    bytes
}

/// A file with all that follows its head in one compressed variable after the other.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let (head, mut rest) = bytes.split_at(bytes.len().min(HEAD));
    let mut file = head.to_vec();
    while !rest.is_empty() {
        let stated = rest.get(4..8).map_or(0, |len| u32::from_le_bytes(len.try_into().unwrap()) as usize);
        let (variable, after) = rest.split_at(stated.saturating_add(8).min(rest.len()));
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(variable).unwrap();
        let packed = encoder.finish().unwrap();
        file.extend([15_u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
        file.extend(packed);
        rest = after;
    }
    file
}

#[test]
fn matlab_files() {
    let outcomes = ReaderTest::new("boxes.mat", [PLAIN.to_vec(), COMPRESSED.to_vec()])
        .num_cases(4_000)
        .memory(16, 256 << 10)
        .run(read_proposals);
    assert!(outcomes.num_read > 0 && outcomes.num_refused > 0);
}

#[test]
fn variables_within_compressed_matlab_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("boxes.mat");
    fs::write(&path, compressed(&unpacked(COMPRESSED))).unwrap();
    let sound = read_proposals(&path).unwrap();
    assert_eq!((sound.len(), sound["000001"].len()), (3, 2));
    let outcomes = ReaderTest::new("boxes.mat", [unpacked(COMPRESSED), PLAIN.to_vec()])
        .num_cases(4_000)
        .packed(compressed)
        .memory(64, 256 << 10)
        .run(read_proposals);
    assert!(outcomes.num_read > 0 && outcomes.num_refused > 0);
}

#[test]
fn csv_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.csv");
    let bounds = |x: f32| BoundingBox { x_min: x, y_min: 0.25, x_max: x + 9.0, y_max: 7.0 };
    let boxes = |num: u8| (0..num).map(|place| bounds(place.into())).collect::<Vec<_>>();
    let sound =
        Proposals::from([("000001".to_string(), boxes(9)), ("with, \"quotes\"".to_string(), boxes(3))]);
    write_proposals(&path, &sound).unwrap();
    assert_eq!(read_proposals(&path).unwrap(), sound);
    let with_blanks = b"image,x_min,y_min,x_max,y_max\r\na,1,2,3,4\r\n\r\n\"b\nc\",0,0,1e2,5\r\n".to_vec();
    let outcomes = ReaderTest::new("boxes.csv", [fs::read(&path).unwrap(), with_blanks])
        .num_cases(4_000)
        .memory(16, 64 << 10)
        .run(read_proposals);
    assert!(outcomes.num_read > 0 && outcomes.num_refused > 0);
}

/// An element of a MATLAB file.
fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// An array of this class and size with these elements.
fn matrix(class: u8, size: [i64; 2], name: &str, content: &[u8]) -> Vec<u8> {
    let size = size.map(i64::to_le_bytes).concat();
    let head = [element(6, &[class, 0, 0, 0, 0, 0, 0, 0]), element(12, &size), element(1, name.as_bytes())];
    element(14, &[&head.concat(), content].concat())
}

/// A file with the boxes of one image, whose array says it has `size`.
fn file_of(size: [i64; 2], values: &[u8]) -> Vec<u8> {
    let boxes = matrix(1, [1, 1], "boxes", &matrix(6, size, "", &element(2, values)));
    let images = matrix(1, [1, 1], "images", &matrix(4, [1, 1], "", &element(16, b"a")));
    [&PLAIN[..HEAD], &boxes, &images].concat()
}

fn read_bytes(bytes: &[u8]) -> Result<Proposals, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("boxes.mat");
    fs::write(&path, bytes).unwrap();
    read_proposals(Path::new(&path)).map_err(|error| error.to_string())
}

#[test]
fn sizes_that_no_array_has_are_refused() {
    assert_eq!(read_bytes(&file_of([1, 4], &[1, 1, 2, 2])).unwrap()["a"].len(), 1);
    for size in [[1 << 62, 0], [i64::MAX, 0], [-1, -4], [-4, -1]] {
        let values: &[u8] = if size[0] < 0 { &[1, 1, 2, 2] } else { &[] };
        let error = read_bytes(&file_of(size, values)).unwrap_err();
        assert!(error.contains("boxes.mat"), "{error}");
    }
}

#[test]
fn variables_that_expand_beyond_all_reason_are_refused_early() {
    let mut bomb = PLAIN[..HEAD].to_vec();
    for _ in 0..4 {
        bomb.extend(&compressed(&[&PLAIN[..HEAD], &element(1, &vec![0; 64 << 20])].concat())[HEAD..]);
    }
    assert!(bomb.len() < 1 << 20);
    let (result, num_bytes) = peak_allocation(|| read_bytes(&bomb));
    let error = result.unwrap_err();
    assert!(error.contains("expands"), "{error}");
    assert!(num_bytes < 160 << 20, "{num_bytes}");
}
