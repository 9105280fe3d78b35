//! Damaged files of proposals are refused or read, in memory that their length bounds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use deepcluster_damage::{CountingAllocator, ReaderTest};
use deepcluster_evaluation::BoundingBox;
use deepcluster_transfer::proposals::{Proposals, read_proposals, write_proposals};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

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
