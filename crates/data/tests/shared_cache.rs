//! Processes that share a disk cache, some of them killed. Each is this test program, started again for one
//! test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::zombie_processes, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use deepcluster_data::{
    DiskCacheConfig, Images, Loader, LoaderConfig, Normalization, Sample, SyntheticConfig, Transform,
    write_synthetic_folder,
};

/// Where a process reads images, keeps them and writes what it read; without it the process is the test
/// itself.
const FOLDERS: &str = "DEEPCLUSTER_TEST_FOLDERS";
const SIDE: u32 = 160;
const NUM_IMAGES: usize = 60;
/// More than one folder of images takes, and less than two.
const MAX_BYTES: u64 = 6 << 20;

fn draw(folder: &Path, seed: u64) {
    let config = SyntheticConfig { num_images: NUM_IMAGES, image_size: SIDE, seed };
    write_synthetic_folder(folder, &config, &mut |_| {}).unwrap();
}

/// All pixels of a folder, read twice.
fn pixels(images: &Path, cache: Option<&Path>) -> Vec<u8> {
    let images = Arc::new(Images::open(images).unwrap());
    let disk_cache = cache.map(|folder| DiskCacheConfig { folder: folder.into(), max_bytes: MAX_BYTES });
    let config = LoaderConfig { num_workers: 2, cache_bytes: 0, disk_cache, ..LoaderConfig::default() };
    let loader = Loader::new(images, config).unwrap();
    let transform = Transform::Center { resize: SIDE, size: SIDE, normalization: Normalization::default() };
    let samples = (0..2 * NUM_IMAGES)
        .map(|number| Sample { image_index: number % NUM_IMAGES, augmentation_seed: 0, crop: 0 })
        .collect::<Vec<_>>();
    let plan = samples.chunks(8).map(<[Sample]>::to_vec).collect();
    let mut all = Vec::new();
    for batch in loader.batches(transform, plan) {
        assert!(batch.failures.is_empty(), "{:?}", batch.failures);
        all.extend(batch.pixels().iter().flat_map(|value| value.to_le_bytes()));
    }
    all
}

fn start(images: &Path, cache: &Path, result: &Path) -> Child {
    let folders = std::env::join_paths([images, cache, result]).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process"])
        .env(FOLDERS, folders)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn another_process() {
    let Some(folders) = std::env::var_os(FOLDERS) else { return };
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    fs::write(&folders[2], pixels(&folders[0], Some(&folders[1]))).unwrap();
}

/// Bytes of all files, and names that are not of images or the account.
fn contents(cache: &Path) -> (u64, Vec<PathBuf>) {
    let paths: Vec<PathBuf> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    let num_bytes = paths.iter().map(|path| fs::symlink_metadata(path).unwrap().len()).sum();
    let others = paths.into_iter().filter(|path| path.extension().is_none_or(|extension| extension != "rgb"));
    (num_bytes, others.collect())
}

#[test]
fn processes_at_once_give_the_pixels_of_one_alone_and_keep_the_bound() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: String| root.path().join(name);
    // Four folders, each read by two processes: more than the bound takes.
    (0..4).for_each(|seed| draw(&path(format!("images{seed}")), seed));
    let children: Vec<Child> = (0..8)
        .map(|n| start(&path(format!("images{}", n % 4)), &path("cache".into()), &path(format!("pixels{n}"))))
        .collect();
    for (n, mut child) in children.into_iter().enumerate() {
        assert!(child.wait().unwrap().success(), "process {n}");
        let alone = pixels(&path(format!("images{}", n % 4)), None);
        assert!(fs::read(path(format!("pixels{n}"))).unwrap() == alone, "process {n}");
    }
    let (num_bytes, others) = contents(&path("cache".into()));
    assert!((MAX_BYTES * 9 / 10..=MAX_BYTES).contains(&num_bytes), "{num_bytes}");
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn killed_processes_leave_nothing_but_images() {
    let root = tempfile::tempdir().unwrap();
    let (images, cache) = (root.path().join("images"), root.path().join("cache"));
    draw(&images, 5);
    let alone = pixels(&images, None);
    let result = root.path().join("pixels");
    let begin = Instant::now();
    assert!(start(&images, &cache, &result).wait().unwrap().success());
    let whole = begin.elapsed();
    for round in 0..24 {
        // Every other process finds what the one before has left.
        if round % 2 == 0 {
            fs::remove_dir_all(&cache).unwrap();
        }
        let mut child = start(&images, &cache, &result);
        thread::sleep(whole * (round + 4) / 32);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::create_dir_all(&cache).unwrap();
        let (num_bytes, others) = contents(&cache);
        assert!(num_bytes <= MAX_BYTES && others.is_empty(), "{num_bytes} bytes, {others:?}");
        if round % 6 == 5 {
            assert!(pixels(&images, Some(&cache)) == alone);
        }
    }
}
