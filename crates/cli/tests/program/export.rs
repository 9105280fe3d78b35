//! `deepcluster export` on small runs.

use std::fs;
use std::path::Path;

use crate::common::{deepcluster, draw_images, finished_run, tiny_config};
use deepcluster_testing::predicates::prelude::*;

/// Formats and the files that they give by default.
const FORMATS: [(&str, &str); 4] = [
    ("safetensors", "network.safetensors"),
    ("pytorch-safetensors", "network.pytorch.safetensors"),
    ("onnx", "network.onnx"),
    ("burnpack", "network.bpk"),
];

#[test]
fn every_format_lands_in_the_run_and_is_replaced_only_by_force() {
    let (folder, _images, run) = finished_run();
    let export = |format: &str| {
        let mut command = deepcluster();
        command.arg("export").arg(&run).args(["--format", format]);
        command
    };
    for (format, name) in FORMATS {
        export(format).assert().success().stdout("");
        let path = run.join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, "kept").unwrap();
        export(format).assert().failure().stderr(predicate::str::contains("--force"));
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        export(format).arg("--force").assert().success();
        assert!(fs::read(&path).unwrap() == bytes, "{format} differs from run to run");

        let other = folder.path().join(name);
        let printed = export(format).arg("--json").arg("--out").arg(&other).assert().success();
        assert!(fs::read(&other).unwrap() == bytes, "{format} depends on its path");
        let printed: serde_json::Value = serde_json::from_slice(&printed.get_output().stdout).unwrap();
        assert_eq!(printed["path"], *other.to_string_lossy());
        assert_eq!((printed["head"].as_bool(), printed["clusters"].as_bool()), (Some(true), Some(true)));
    }
    export("tflite").assert().code(2).stderr(predicate::str::contains("pytorch-safetensors"));
    // The run is what it was.
    deepcluster().arg("inspect").arg(&run).assert().success();
}

#[test]
fn a_run_that_was_stopped_gives_its_network_without_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 120);
    let config = tiny_config(folder.path(), 2);
    let run = folder.path().join("run");
    crate::common::train(&images, &run, &config);
    let export = |format: &str, path: &Path| {
        let mut command = deepcluster();
        command.args(["--json", "export"]).arg(&run).args(["--format", format]).arg("--out").arg(path);
        command
    };
    let (finished, stopped) = (folder.path().join("finished.onnx"), folder.path().join("stopped.onnx"));
    export("onnx", &finished).assert().success();
    fs::remove_file(run.join("model.safetensors")).unwrap();
    let printed = export("onnx", &stopped).assert().success();
    let printed: serde_json::Value = serde_json::from_slice(&printed.get_output().stdout).unwrap();
    assert_eq!(printed["clusters"], false);
    let (finished, stopped) = (fs::read(finished).unwrap(), fs::read(stopped).unwrap());
    let contains = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(contains(&finished, b"clusters.centroids") && !contains(&stopped, b"clusters.centroids"));
    assert!(contains(&stopped, b"fc7.weight"));
}

#[test]
fn what_cannot_be_exported_is_named_and_nothing_is_left() {
    let (folder, images, run) = finished_run();
    let nowhere = folder.path().join("nowhere").join("network.onnx");
    let mut command = deepcluster();
    command.arg("export").arg(&run).args(["--format", "onnx", "--out"]).arg(&nowhere);
    command.assert().code(1).stderr(predicate::str::contains("nowhere"));
    assert!(!nowhere.parent().unwrap().exists());
    let mut command = deepcluster();
    command.arg("export").arg(&images).args(["--format", "onnx"]);
    command.assert().code(2).stderr(predicate::str::contains("not a run directory"));
    assert!(!images.join("network.onnx").exists());
}
