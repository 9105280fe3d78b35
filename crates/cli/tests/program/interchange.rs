//! Checkpoints of the original code come in, features go out.

use std::fs;
use std::path::{Path, PathBuf};

use deepcluster::trainer::RunDirectory;
use deepcluster_testing::predicates::prelude::*;

use crate::common::{deepcluster, draw_images, finished_run};

/// A tiny AlexNet of 3 clusters after 7 epochs.
fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/checkpoints/alexnet-legacy.pth.tar")
}

fn num_lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

#[test]
fn an_imported_checkpoint_is_an_ordinary_run() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 40);
    let run = folder.path().join("run");
    let import = |run: &Path| {
        let mut command = deepcluster();
        command.arg("import").arg(checkpoint()).arg("--out").arg(run);
        command
    };
    import(&run).arg("--images").arg(&images).assert().success();
    assert_eq!(num_lines(&run.join("assignments.csv")), 41);
    assert_eq!(num_lines(&run.join("metrics.jsonl")), 1);
    let inspected = deepcluster().args(["--json", "inspect"]).arg(&run).assert().success();
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.get_output().stdout).unwrap();
    assert_eq!((&inspected["finished"], &inspected["imported"]["epoch"]), (&true.into(), &7.into()));
    assert_eq!(inspected["config"]["objective"]["clustering"]["num_clusters"], 3);

    // New images, more epochs, the way back.
    let assigned = deepcluster().arg("assign").arg(&run).arg(&images).assert().success();
    assert_eq!(assigned.get_output().stdout, fs::read(run.join("assignments.csv")).unwrap());
    let mut resumed = deepcluster();
    resumed.args(["train", "--resume", "--epochs", "8", "--out"]).arg(&run).assert().success();
    assert_eq!(num_lines(&run.join("metrics.jsonl")), 2);
    deepcluster().arg("export").arg(&run).args(["--format", "pytorch-safetensors"]).assert().success();
    // A second import does not touch the run.
    import(&run).assert().code(2).stderr(predicate::str::contains("already holds a run"));
}

#[test]
fn a_checkpoint_without_images_takes_them_later() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 40);
    let run = folder.path().join("run");
    deepcluster().arg("import").arg(checkpoint()).arg("--out").arg(&run).assert().success();
    let resume = || {
        let mut command = deepcluster();
        command.args(["train", "--resume", "--out"]).arg(&run);
        command
    };
    deepcluster()
        .arg("assign")
        .arg(&run)
        .arg(&images)
        .assert()
        .failure()
        .stderr(predicate::str::contains("--resume"));
    resume().assert().code(2).stderr(predicate::str::contains("name their folder"));
    // Features need no clusters.
    let out = folder.path().join("features.npy");
    deepcluster().arg("features").arg(&run).arg(&images).arg("--out").arg(&out).assert().success();
    resume().arg(&images).assert().success();
    assert_eq!(num_lines(&run.join("assignments.csv")), 41);
    let other = draw_images(&folder.path().join("other"), 10);
    resume().arg(&other).assert().code(2).stderr(predicate::str::contains("was begun on"));
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 10);
    let run = folder.path().join("run");
    let import = |checkpoint: &Path| {
        let mut command = deepcluster();
        command.arg("import").arg(checkpoint).arg("--out").arg(&run);
        command
    };
    let cut = folder.path().join("cut.pth.tar");
    let bytes = fs::read(checkpoint()).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    import(&cut).assert().code(1).stderr(predicate::str::contains("cut.pth.tar cannot be imported"));
    import(&checkpoint())
        .args(["--set", "network.sobel=false"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("network.sobel"));
    import(&checkpoint())
        .args(["--clusters", "50", "--images"])
        .arg(&images)
        .assert()
        .code(2)
        .stderr(predicate::str::contains("num_clusters"));
    import(&checkpoint())
        .args(["--image-size", "224"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("pixels"));
    assert!(!run.exists());
}

#[test]
fn an_imported_run_keeps_its_network_and_may_change_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 30);
    let resumed = |run: &Path, options: &[&str]| {
        let mut command = deepcluster();
        command.args(["train", "--resume", "--device", "cpu", "--out"]).arg(run).arg(&images).args(options);
        command.assert()
    };
    let mut losses = Vec::new();
    for (name, dropout) in [("with", "network.dropout=0.9"), ("without", "network.dropout=0")] {
        let run = folder.path().join(name);
        deepcluster().arg("import").arg(checkpoint()).arg("--out").arg(&run).assert().success();
        let epoch = RunDirectory::open(&run).unwrap().config().unwrap().training.epochs;
        for (setting, key) in [
            ("network.width=0.5", "network.width"),
            ("network.sobel=false", "network.sobel"),
            ("network.kind=vgg16", "network.kind"),
            ("images.size=128", "images.size"),
            ("objective.kind=nat", "objective.kind"),
        ] {
            resumed(&run, &["--set", setting]).code(2).stderr(predicate::str::contains(key));
        }
        let epochs = (epoch + 1).to_string();
        resumed(&run, &["--clusters", "3", "--epochs", &epochs, "--set", dropout]).success();
        deepcluster().arg("assign").arg(&run).arg(&images).assert().success();
        losses.push(RunDirectory::open(&run).unwrap().metrics().unwrap()[0].loss.unwrap());
    }
    // The network that learns is that of the changed settings.
    assert!(losses[0] != losses[1], "{losses:?}");
}

#[test]
fn features_are_a_matrix_and_the_list_of_its_rows() {
    let (folder, images, run) = finished_run();
    fs::write(images.join("broken.png"), "no picture").unwrap();
    let write = |name: &str| {
        let mut command = deepcluster();
        command.arg("features").arg(&run).arg(&images).arg("--out").arg(folder.path().join(name));
        command
    };
    // An eighth of 1,024, of 16-bit and 32-bit numbers behind a header of a multiple of 64 bytes.
    for (name, options, row_bytes) in [
        ("fc7.npy", vec![], 128 * 4),
        ("half.npy", vec!["--dtype", "f16"], 128 * 2),
        ("whitened.npy", vec!["--layer", "whitened"], 16 * 4),
        ("convolutions.npy", vec!["--layer", "convolutions"], 16 * 3 * 3 * 4),
    ] {
        write(name).args(options).assert().success();
        let bytes = fs::metadata(folder.path().join(name)).unwrap().len();
        let expected = 120 * row_bytes;
        assert!((expected..expected + 256).contains(&bytes), "{name}: {bytes} bytes, {expected} of numbers");
        let list = fs::read_to_string(folder.path().join(name).with_extension("csv")).unwrap();
        assert_eq!(list.lines().count(), 121);
        assert!(!list.contains("broken.png"));
    }
    // The rows are those of images.csv, whose order every file of a run has.
    let paths_of = |path: PathBuf, column: usize| -> Vec<String> {
        let mut reader = csv::Reader::from_path(path).unwrap();
        reader.records().map(|record| record.unwrap()[column].to_string()).collect()
    };
    assert_eq!(paths_of(folder.path().join("fc7.csv"), 1), paths_of(run.join("images.csv"), 0));

    let printed = write("features.parquet").arg("--json").assert().success();
    // After the events of the pass.
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    let printed: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!((&printed["rows"], &printed["columns"]), (&120.into(), &128.into()));
    let bytes = fs::read(folder.path().join("features.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1") && bytes.len() > 120 * 128 * 4);

    write("fc7.npy").assert().failure().stderr(predicate::str::contains("--force"));
    write("fc7.npy").arg("--force").assert().success();
    write("other.mat").assert().code(2).stderr(predicate::str::contains(".npy or .parquet"));
    write("other.parquet").args(["--dtype", "f16"]).assert().code(2).stderr(predicate::str::contains("f32"));
}
