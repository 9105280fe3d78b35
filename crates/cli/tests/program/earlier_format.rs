//! Runs of format 1, made by the program that had other names for the settings, open, are used and go on.

use std::fs;
use std::path::{Path, PathBuf};

use deepcluster_testing::assert_cmd::assert::Assert;
use deepcluster_testing::predicates::prelude::*;
use tempfile::TempDir;

use crate::common::{deepcluster, draw_images};
use crate::recorded_runs::processor;

const COMPARED: [&str; 4] = ["model.safetensors", "assignments.csv", "metrics.jsonl", "config.toml"];

/// The settings of the runs in the present form.
const SETTINGS: &str = "seed = 5
[images]
size = 32
[network]
width = 0.02
[objective]
learning_rate = 0.03
clustering.num_clusters = 6
whitening.num_components = 8
[training]
epochs = 4
batch_size = 8
knn_neighbors = 3
checkpoint_steps = 2
tensorboard = false
";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1")
}

/// A copy of a run, and its images, which have moved.
fn copy_of(name: &str) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (images, run) = (draw_images(folder.path(), 48), folder.path().join("run"));
    copy(&fixtures().join(name), &run);
    (folder, images, run)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn resume(images: &Path, run: &Path, options: &[&str]) -> Assert {
    let mut command = deepcluster();
    command.arg("train").arg(images).args(["--resume", "--device", "cpu", "--out"]).arg(run).args(options);
    command.assert()
}

fn text(run: &Path, name: &str) -> String {
    fs::read_to_string(run.join(name)).unwrap()
}

#[test]
fn a_finished_run_is_used_as_it_is_until_it_is_trained_on() {
    let (folder, images, run) = copy_of("finished");
    let inspected = deepcluster().args(["inspect", "--json"]).arg(&run).assert().success();
    let shown: serde_json::Value = serde_json::from_slice(&inspected.get_output().stdout).unwrap();
    assert_eq!((&shown["finished"], &shown["problem"]), (&true.into(), &serde_json::Value::Null), "{shown}");
    assert_eq!(shown["config"]["objective"]["clustering"]["num_clusters"], 6);
    assert_eq!(shown["config"]["objective"]["learning_rate"], 0.03);

    let assigned =
        deepcluster().args(["assign", "--device", "cpu"]).arg(&run).arg(&images).assert().success();
    let assigned = String::from_utf8(assigned.get_output().stdout.clone()).unwrap();
    let cluster = |line: &str| line.rsplit_once(',').map(|(cluster, _)| cluster.to_string());
    let same = assigned
        .lines()
        .zip(text(&run, "assignments.csv").lines())
        .filter(|(a, b)| cluster(a) == cluster(b))
        .count();
    // On other processors an image between two clusters may change sides.
    assert!(same >= 47, "{same} of 49 lines agree");
    let mut measured = deepcluster();
    measured.args(["eval", "knn"]).arg(&run).arg("--train").arg(&images).arg("--test").arg(&images);
    measured.arg("--out").arg(folder.path().join("knn")).assert().success();
    deepcluster().arg("report").arg(&run).arg("--out").arg(folder.path().join("page")).assert().success();
    resume(&images, &run, &[]).success();
    for name in COMPARED {
        assert!(
            fs::read(run.join(name)).unwrap() == fs::read(fixtures().join("finished").join(name)).unwrap()
        );
    }
    assert!(text(&run, "run.json").contains("\"format\": 1"));

    resume(&images, &run, &["--set", "objective.learning_rate=0.5"]).code(2);
    resume(&images, &run, &["--epochs", "5"]).success();
    assert!(text(&run, "run.json").contains("\"format\": 2"));
    let config = text(&run, "config.toml");
    assert!(config.contains("[objective.whitening]") && config.contains("epochs = 5"), "{config}");
    let shown = deepcluster().arg("inspect").arg(&run).assert().success();
    shown.stdout(predicate::str::contains("finished, 5 of 5 epochs"));
}

#[test]
fn an_interrupted_run_ends_in_the_files_of_an_uninterrupted_one() {
    let (folder, images, run) = copy_of("interrupted");
    resume(&images, &run, &["--set", "training.batch_size=16"])
        .code(2)
        .stderr(predicate::str::contains("is 8"));
    assert!(text(&run, "config.toml").contains("[data]"), "a refused resume leaves the run as it is");
    resume(&images, &run, &[]).success();
    assert!(text(&run, "run.json").contains("\"format\": 2"));

    let (settings, whole) = (folder.path().join("settings.toml"), folder.path().join("whole"));
    fs::write(&settings, SETTINGS).unwrap();
    let mut train = deepcluster();
    train
        .arg("train")
        .arg(&images)
        .args(["--device", "cpu", "--out"])
        .arg(&whole)
        .arg("--config")
        .arg(&settings);
    train.assert().success();
    assert_eq!(text(&run, "config.toml"), text(&whole, "config.toml"));
    let maker = fs::read_to_string(fixtures().join("processor.txt")).unwrap();
    if processor() != maker.trim() {
        eprintln!("bits not compared: the checkpoint is of a processor with {}", maker.trim());
        return;
    }
    for name in COMPARED {
        assert!(fs::read(run.join(name)).unwrap() == fs::read(whole.join(name)).unwrap(), "{name} differs");
    }
    // And they are the files that the earlier program left.
    for name in ["model.safetensors", "assignments.csv", "metrics.jsonl"] {
        let before = fs::read(fixtures().join("finished").join(name)).unwrap();
        assert!(fs::read(whole.join(name)).unwrap() == before, "{name} is not that of format 1");
    }
}

#[test]
fn a_run_between_the_two_writes_of_its_format_is_one_of_either() {
    let (_folder, images, run) = copy_of("interrupted");
    resume(&images, &run, &[]).success();
    let file = text(&run, "run.json").replace("\"format\": 2", "\"format\": 1");
    fs::write(run.join("run.json"), file).unwrap();
    deepcluster().arg("inspect").arg(&run).assert().success().stdout(predicate::str::contains("finished"));
    resume(&images, &run, &["--epochs", "5"]).success();
    assert!(text(&run, "run.json").contains("\"format\": 2"));
}

#[test]
fn formats_to_come_and_files_of_old_settings_are_refused() {
    let (folder, images, run) = copy_of("finished");
    let file = text(&run, "run.json").replace("\"format\": 1", "\"format\": 3");
    fs::write(run.join("run.json"), file).unwrap();
    let refused = deepcluster().arg("inspect").arg(&run).assert().code(1);
    refused.stderr(predicate::str::contains("format 3").and(predicate::str::contains("formats up to 2")));

    let (settings, out) = (fixtures().join("settings.toml"), folder.path().join("new"));
    let mut train = deepcluster();
    train.arg("train").arg(&images).arg("--out").arg(&out).arg("--config").arg(settings);
    let names = predicate::str::contains("'data.image_size' is 'images.size'").and(predicate::str::contains(
        "'clustering.num_clusters'; it is 'objective.clustering.num_clusters' now",
    ));
    train.assert().code(2).stderr(names);
    assert!(!out.exists());
}
