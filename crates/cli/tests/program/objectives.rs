//! Runs of an objective other than DeepCluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use deepcluster_testing::predicates::prelude::*;

use crate::common::{assert_same_results, deepcluster, draw_images, tiny_config};

const NAT: [&str; 4] = ["--objective", "nat", "--set", "objective.target_dim=32"];

fn train_nat(images: &Path, run: &Path, config: &Path) {
    let mut command = deepcluster();
    command.arg("train").arg(images).arg("--out").arg(run).arg("--config").arg(config).args(NAT);
    command.assert().success();
}

fn epochs(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_of_nat_is_a_run_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 120);
    // An image that cannot be read is listed, whatever the objective.
    fs::write(images.join("broken.png"), "no picture").unwrap();
    let (config, run) = (tiny_config(folder.path(), 3), folder.path().join("run"));
    train_nat(&images, &run, &config);
    let epochs = epochs(&run);
    assert_eq!(epochs.len(), 4);
    for epoch in &epochs[..3] {
        let loss = epoch["loss"].as_f64().unwrap();
        assert!(loss > 0.0 && loss < 2.1, "{epoch}");
        assert!(epoch["inertia"].is_null() && epoch["cluster_sizes"].as_array().unwrap().is_empty());
        assert_eq!(epoch["num_samples"], 120);
    }
    // Targets are exchanged in every third epoch, the first among them.
    let exchanged = |epoch: usize| epochs[epoch]["measures"]["exchanged"].as_f64().unwrap();
    assert!(exchanged(0) > 0.5 && exchanged(1) == 0.0 && exchanged(2) == 0.0, "{epochs:?}");
    assert!(epochs[3]["loss"].is_null() && epochs[3]["inertia"].is_number());
    assert_eq!(epochs[3]["cluster_sizes"].as_array().unwrap().len(), 12);
    assert!(fs::read_to_string(run.join("config.toml")).unwrap().contains("kind = \"nat\""));

    let assigned = deepcluster().arg("assign").arg(&run).arg(&images).assert().success();
    let assignments = fs::read(run.join("assignments.csv")).unwrap();
    assert_eq!(assigned.get_output().stdout, assignments);
    deepcluster().arg("report").arg(&run).assert().success();
    deepcluster().arg("export").arg(&run).args(["--format", "onnx"]).assert().success();
    deepcluster().arg("curves").arg(&run).arg("--out").arg(folder.path().join("curves")).assert().success();
    let out = folder.path().join("features.npy");
    deepcluster().arg("features").arg(&run).arg(&images).arg("--out").arg(&out).assert().success();
    deepcluster().arg("inspect").arg(&run).assert().success().stdout(predicate::str::contains("nat"));
    deepcluster()
        .args(["eval", "knn"])
        .arg(&run)
        .args(["--train"])
        .arg(&images)
        .arg("--test")
        .arg(&images)
        .assert()
        .success();
}

fn start(images: &Path, run: &Path, config: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepcluster"));
    command.args(["--quiet", "train", "--out"]).arg(run);
    if run.join("run.json").exists() {
        command.arg("--resume");
    } else {
        command.arg(images).arg("--config").arg(config).args(NAT);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn nat_killed_within_epochs_and_resumed_ends_in_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 240);
    let config = tiny_config(folder.path(), 4);
    let (reference, run) = (folder.path().join("reference"), folder.path().join("run"));
    train_nat(&images, &reference, &config);
    let mut places: Vec<PathBuf> = Vec::new();
    for _ in 0..4 {
        let mut child = start(&images, &run, &config);
        // Until a checkpoint within an epoch that no life before has left.
        let deadline = Instant::now() + Duration::from_secs(120);
        let place = loop {
            let new = checkpoints(&run).into_iter().find(|place| !places.contains(place));
            if new.is_some() || child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                break new;
            }
            thread::sleep(Duration::from_millis(1));
        };
        child.kill().unwrap();
        child.wait().unwrap();
        places.extend(place);
    }
    assert!(!places.is_empty());
    assert!(start(&images, &run, &config).wait().unwrap().success());
    assert_same_results(&reference, &run);
}

/// Those within epochs.
fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_within = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("epoch-") && !name.ends_with("-step-0000000")
    };
    paths.filter(is_within).collect()
}

#[test]
fn wrong_objectives_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 60);
    let (config, run) = (tiny_config(folder.path(), 1), folder.path().join("run"));
    let train = |options: &[&str]| {
        let mut command = deepcluster();
        command.arg("train").arg(&images).arg("--out").arg(&run).arg("--config").arg(&config).args(options);
        command.assert()
    };
    train(&["--objective", "jigsaw"]).code(2).stderr(predicate::str::contains("nat"));
    for (setting, words) in [
        ("objective.target_dim=1", "2 to 65536"),
        ("objective.exchange_every=0", "1 to"),
        ("objective.learning_rate=0", "more than 0"),
        ("objective.targetdim=8", "objective.target_dim"),
        ("nat.target_dim=8", "'objective.target_dim' now"),
        ("objective.momentum=0.5", "a setting of deepcluster, and objective.kind is nat"),
    ] {
        train(&["--objective", "nat", "--set", setting]).code(2).stderr(predicate::str::contains(words));
    }
    assert!(!run.exists());
    train(&[]).success();
    let mut resume = deepcluster();
    resume.args(["train", "--resume", "--objective", "nat", "--out"]).arg(&run);
    resume.assert().code(2).stderr(predicate::str::contains("objective.kind"));
}
