//! The protocols of `deepcluster eval` on small runs.

use std::fs;

use crate::common::{deepcluster, finished_run};
use deepcluster_testing::predicates::prelude::*;
use serde_json::Value;

fn results(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path.join("results.json")).unwrap()).unwrap()
}

#[test]
fn linear_probes_cover_every_convolution_of_both_networks() {
    let (_folder, images, run) = finished_run();
    let mut command = deepcluster();
    command.args(["eval", "linear"]).arg(&run).arg("--train").arg(&images).arg("--test").arg(&images);
    command.args(["--epochs", "2", "--batch-size", "30"]);
    let printed = command.assert().success();
    let folder = run.join("eval/linear");
    let table = fs::read_to_string(folder.join("results.md")).unwrap();
    assert_eq!(String::from_utf8(printed.get_output().stdout.clone()).unwrap(), table);
    let results_there = results(&folder);
    let networks = results_there["networks"].as_array().unwrap();
    assert_eq!(networks.len(), 2);
    for network in networks {
        let layers = network["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 5);
        for layer in layers {
            assert_eq!(layer["epochs"].as_array().unwrap().len(), 2);
            assert!(layer["best"]["top1"].as_f64().unwrap() >= layer["last"]["top1"].as_f64().unwrap());
        }
    }
    assert_ne!(networks[0]["layers"], networks[1]["layers"]);
    command.assert().success();
    assert_eq!(results(&folder), results_there);
    // Results and their record exist; the state of finished probes does not.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    command.args(["--layers", "conv9"]);
    command.assert().code(2).stderr(predicate::str::contains("conv1, conv2"));
}

#[test]
fn nearest_neighbors_of_an_image_among_themselves_are_right() {
    let (folder, images, run) = finished_run();
    let out = folder.path().join("out");
    let mut command = deepcluster();
    command.args(["eval", "knn"]).arg(&run).arg("--train").arg(&images).arg("--test").arg(&images);
    command.args(["-k", "1,5", "--layers", "conv2,fc7", "--no-baseline", "--out"]).arg(&out);
    command
        .assert()
        .success()
        .stdout(predicate::str::contains("| trained | 1 | top-1 | 100.0 % | 100.0 % |"));
    let results = results(&out);
    assert_eq!(results["networks"][0]["layers"][1]["layer"], "fc7");
    assert_eq!(results["networks"][0]["layers"][1]["accuracies"][1]["num_neighbors"], 5);
}

#[test]
fn clusters_are_compared_class_by_class() {
    let (folder, images, run) = finished_run();
    let printed = deepcluster().args(["--json", "eval", "clusters"]).arg(&run).assert().success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    let printed: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(printed, results(&run.join("eval/clusters")));
    let report = &printed["report"];
    let classes = report["classes"].as_array().unwrap();
    let total: u64 = classes.iter().map(|class| class["num_images"].as_u64().unwrap()).sum();
    assert_eq!((total, &report["agreement"]["num_labelled"]), (120, &120.into()));
    // The last line of the run's metrics measured the same clusters.
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(report["agreement"], last["labels"]);

    let flat = folder.path().join("flat");
    fs::create_dir(&flat).unwrap();
    let class = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let image = fs::read_dir(class).unwrap().next().unwrap().unwrap().path();
    fs::copy(&image, flat.join("one.png")).unwrap();
    let mut command = deepcluster();
    command.args(["eval", "clusters"]).arg(&run).arg(&flat);
    command.assert().failure().stderr(predicate::str::contains("no labels"));
}
