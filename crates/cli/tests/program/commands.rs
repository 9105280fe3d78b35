//! Every command on a small run, as a user types it.

use std::fs;

use crate::common::{assert_same_results, deepcluster, draw_images, finished_run, tiny_config};
use deepcluster_testing::predicates::prelude::*;

#[test]
fn a_run_holds_every_file_and_assign_repeats_its_clusters() {
    let (folder, images, run) = finished_run();
    for name in crate::common::RESULTS.into_iter().chain(["run.json", "timings.jsonl"]) {
        assert!(run.join(name).is_file(), "{name} is missing");
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 3);
    let epochs: Vec<serde_json::Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(epochs[0]["loss"].as_f64().unwrap() > 0.0 && epochs[2]["loss"].is_null());
    assert!(epochs[0]["nmi_to_previous"].is_null() && epochs[1]["nmi_to_previous"].is_number());
    assert_eq!(epochs[0]["labels"]["num_labelled"], 120);

    // The training images get the very clusters of the run, in the same bytes.
    let csv = folder.path().join("again.csv");
    deepcluster().arg("assign").arg(&run).arg(&images).arg("--out").arg(&csv).assert().success();
    assert_eq!(fs::read_to_string(&csv).unwrap(), fs::read_to_string(run.join("assignments.csv")).unwrap());
    let printed = deepcluster().arg("assign").arg(&run).arg(&images).assert().success();
    assert_eq!(printed.get_output().stdout, fs::read(&csv).unwrap());
}

#[test]
fn assign_fills_folders_with_links_or_copies() {
    let (folder, images, run) = finished_run();
    for (place, is_link) in [("link", true), ("copy", false)] {
        let target = folder.path().join(place);
        let mut command = deepcluster();
        command.arg("assign").arg(&run).arg(&images).args(["--place", place]).arg("--folders").arg(&target);
        command.assert().success();
        let mut num_files = 0;
        for cluster in fs::read_dir(&target).unwrap() {
            for file in fs::read_dir(cluster.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                assert_eq!(fs::symlink_metadata(&path).unwrap().is_symlink(), is_link);
                assert!(path.is_file(), "{} leads nowhere", path.display());
                num_files += 1;
            }
        }
        assert_eq!(num_files, 120);
        // A second time nothing is overwritten.
        command.assert().failure().stderr(predicate::str::contains("exists already"));
    }
}

#[test]
fn an_image_does_not_find_itself_but_its_copy_finds_it() {
    let (folder, images, run) = finished_run();
    let kind = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let original = fs::read_dir(kind).unwrap().next().unwrap().unwrap().path();
    let itself = deepcluster().args(["neighbors", "-n", "3"]).arg(&run).arg(&original).assert().success();
    let lines = String::from_utf8(itself.get_output().stdout.clone()).unwrap();
    assert_eq!(lines.lines().count(), 4);
    let path = format!(",{}", original.to_str().unwrap());
    assert!(!lines.contains(&path), "{lines}");
    let query = folder.path().join("copy.png");
    fs::copy(&original, &query).unwrap();
    let output = deepcluster().args(["neighbors", "-n", "3"]).arg(&run).arg(&query).assert().success();
    let lines = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let rows: Vec<&str> = lines.lines().collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0], "query,rank,neighbor,distance");
    let fields: Vec<&str> = rows[1].split(',').collect();
    assert_eq!((fields[0], fields[1]), (query.to_str().unwrap(), "1"));
    assert!(fields[2].ends_with(original.file_name().unwrap().to_str().unwrap()), "{}", rows[1]);
    // The saved features are halves: the distance is their rounding.
    assert!(fields[3].parse::<f64>().unwrap() < 0.01, "{}", rows[1]);
}

#[test]
fn inspect_and_json_modes_are_readable_by_programs() {
    let (folder, images, run) = finished_run();
    let text = deepcluster().arg("inspect").arg(&run).assert().success();
    let text = String::from_utf8(text.get_output().stdout.clone()).unwrap();
    assert!(text.contains("finished") && text.contains("120 images, 0 files skipped"), "{text}");
    let json = deepcluster().args(["--json", "inspect"]).arg(&run).assert().success();
    let value: serde_json::Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(value["finished"], true);
    assert_eq!(value["epochs"].as_array().unwrap().len(), 3);

    let config = tiny_config(folder.path(), 1);
    let second = folder.path().join("second");
    let mut train = deepcluster();
    train.args(["--json", "train"]).arg(&images).arg("--out").arg(&second).arg("--config").arg(config);
    let output = train.assert().success();
    let lines = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let events: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.iter().filter(|event| event["event"] == "epoch").count(), 2);
    assert_eq!(events.last().unwrap()["event"], "finished");
}

#[test]
fn options_win_over_the_file_and_set_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 60);
    let config = tiny_config(folder.path(), 7);
    let run = folder.path().join("run");
    let mut train = deepcluster();
    train.arg("train").arg(&images).arg("--out").arg(&run).arg("--config").arg(config);
    train
        .args(["--epochs", "3", "--clusters", "9", "--set", "training.epochs=1", "--seed", "8"])
        .assert()
        .success();
    let text = fs::read_to_string(run.join("config.toml")).unwrap();
    for line in ["seed = 8", "epochs = 1", "num_clusters = 9", "num_components = 16"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn power_iteration_clustering_finds_its_own_number_of_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 120);
    let config = tiny_config(folder.path(), 1);
    let run = folder.path().join("run");
    let mut train = deepcluster();
    train.arg("train").arg(&images).arg("--out").arg(&run).arg("--config").arg(config);
    train.args(["--clustering", "pic"]).assert().success();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    let sizes: u64 =
        first["cluster_sizes"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).sum();
    assert_eq!(sizes, 120);
    assert!(first["num_clusters"].as_u64().unwrap() >= 2 && first["num_empty"] == 0);
    deepcluster().arg("assign").arg(&run).arg(&images).assert().success();
}

#[test]
fn every_clustering_with_a_given_number_of_clusters_is_within_reach() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 120);
    let config = tiny_config(folder.path(), 1);
    for (index, options) in [
        &["--clustering", "lin-cohen-pic"][..],
        &["--set", "objective.clustering.initialization=k-means-plus-plus"],
        &[
            "--set",
            "objective.clustering.initialization=afk-mc2",
            "--set",
            "objective.clustering.spherical=true",
        ],
        &["--set", "objective.clustering.variant=two-level", "--set", "objective.clustering.tolerance=0.01"],
        &[
            "--set",
            "objective.clustering.variant=mini-batch",
            "--set",
            "objective.clustering.mini_batch_size=32",
        ],
        &["--set", "objective.clustering.max_samples_per_cluster=5"],
    ]
    .into_iter()
    .enumerate()
    {
        let run = folder.path().join(format!("run-{index}"));
        let mut train = deepcluster();
        train.arg("train").arg(&images).arg("--out").arg(&run).arg("--config").arg(&config);
        train.args(["--clusters", "7"]).args(options).assert().success();
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let first: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
        assert_eq!(first["num_clusters"], 7, "{options:?}");
        let saved = fs::read_to_string(run.join("config.toml")).unwrap();
        for option in options.iter().filter_map(|option| option.strip_prefix("objective.clustering.")) {
            let (key, value) = option.split_once('=').unwrap();
            let is_it =
                |line: &str| line == format!("{key} = {value}") || line == format!("{key} = \"{value}\"");
            assert!(saved.lines().any(is_it), "{option} is not in\n{saved}");
        }
    }
}

#[test]
fn completions_and_devices_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = deepcluster().args(["completions", shell]).assert().success();
        assert!(String::from_utf8_lossy(&output.get_output().stdout).contains("neighbors"));
    }
    deepcluster().arg("devices").assert().success().stdout(predicate::str::contains("cpu"));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (folder, images, run) = finished_run();
    let config = tiny_config(folder.path(), 2);
    for threads in ["1", "3"] {
        let other = folder.path().join(threads);
        let mut train = deepcluster();
        train.arg("train").arg(&images).arg("--out").arg(&other).arg("--config").arg(&config);
        train.env("RAYON_NUM_THREADS", threads).assert().success();
        assert_same_results(&run, &other);
    }
}
