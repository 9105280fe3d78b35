//! Shared code of the tests of the program: drawings, a tiny configuration, the program, and the files of a
//! run.

use std::fs;
use std::path::{Path, PathBuf};

use deepcluster::data::{SyntheticConfig, write_synthetic_folder};
pub(crate) use deepcluster_testing::program as deepcluster;
use tempfile::TempDir;

/// Files that are the same bytes for the same images, settings and seed.
pub(crate) const RESULTS: [&str; 7] = [
    "config.toml",
    "images.csv",
    "skipped.csv",
    "metrics.jsonl",
    "assignments.csv",
    "model.safetensors",
    "features.safetensors",
];

/// Draws `num_images` images of 32 px into `folder/images`.
pub(crate) fn draw_images(folder: &Path, num_images: usize) -> PathBuf {
    let images = folder.join("images");
    let drawings = SyntheticConfig { num_images, image_size: 32, seed: 3 };
    write_synthetic_folder(&images, &drawings, &mut |_| {}).unwrap();
    images
}

/// Writes settings with which a few hundred images take seconds.
pub(crate) fn tiny_config(folder: &Path, num_epochs: usize) -> PathBuf {
    let path = folder.join("tiny.toml");
    let text = format!(
        "seed = 5\n[images]\nsize = 32\n[network]\nwidth = 0.125\n[objective]\nclustering.num_clusters = 12\n\
         whitening.num_components = 16\n[training]\nepochs = {num_epochs}\nbatch_size = 24\nknn_neighbors = 5\ncheckpoint_steps = 2\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// Trains on `images` into `run` and checks that it succeeds.
pub(crate) fn train(images: &Path, run: &Path, config: &Path) {
    let mut command = deepcluster();
    command.arg("train").arg(images).arg("--out").arg(run).arg("--config").arg(config).assert().success();
}

/// A folder with 120 drawings, a configuration, and a finished run of two epochs.
pub(crate) fn finished_run() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 120);
    let config = tiny_config(folder.path(), 2);
    let run = folder.path().join("run");
    train(&images, &run, &config);
    (folder, images, run)
}

/// Panics with the name of the first file that differs.
pub(crate) fn assert_same_results(expected: &Path, found: &Path) {
    for name in RESULTS {
        let read = |run: &Path| fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(read(expected) == read(found), "{name} differs");
    }
}
