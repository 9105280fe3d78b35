//! Kernels, filters, top images and neighbours as pictures.

use std::fs;
use std::path::Path;

use deepcluster_testing::assert_cmd::assert::Assert;
use deepcluster_testing::predicates::str::contains;
use image::GenericImageView;

use crate::common::{deepcluster, finished_run};

/// The lines of a CSV on standard output, without its header.
fn rows(output: &Assert, header: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(header));
    lines.map(|line| line.split(',').map(str::to_string).collect()).collect()
}

/// The JSON lines on standard output that are not events.
fn results(output: &Assert) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line.get("event").is_none()).collect()
}

/// Whether a picture shows anything: some pixels that are neither white nor ink.
fn shows_something(path: &Path) -> bool {
    let picture = image::open(path).unwrap();
    picture.pixels().filter(|(_, _, pixel)| (60..240).contains(&pixel.0[0])).count() > 500
}

#[test]
fn filters_and_kernels_of_a_run_are_drawn() {
    let (_folder, _, run) = finished_run();
    let mut command = deepcluster();
    command.args(["filters", "--layer", "conv1,conv5", "--filter", "0..3,5", "--steps", "4", "--size", "40"]);
    let output = command.arg(&run).assert().success();
    let rows = rows(&output, "layer,filter,response,noise_response");
    let named: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let expected = ["conv1", "conv5"].map(|layer| ["0", "1", "2", "5"].map(|filter| (layer, filter)));
    assert_eq!(named, expected.concat());
    assert!(rows.iter().all(|row| row[2].parse::<f64>().is_ok() && row[3].parse::<f64>().is_ok()));
    for layer in ["conv1", "conv5"] {
        assert!(shows_something(&run.join(format!("pictures/filters-{layer}.png"))));
    }
    deepcluster().arg("kernels").arg(&run).assert().success();
    assert!(shows_something(&run.join("pictures/kernels.png")));
    // The same seed draws the same picture; the original's method another.
    let before = fs::read(run.join("pictures/filters-conv5.png")).unwrap();
    command.assert().success();
    assert_eq!(fs::read(run.join("pictures/filters-conv5.png")).unwrap(), before);
    command.args(["--method", "original"]).assert().success();
    assert_ne!(fs::read(run.join("pictures/filters-conv5.png")).unwrap(), before);
}

#[test]
fn top_images_of_filters_are_named_and_drawn() {
    let (folder, images, run) = finished_run();
    let out = folder.path().join("sheets");
    let mut command = deepcluster();
    command.arg("top-images").arg(&run).arg(&images).arg("--out").arg(&out);
    command.args(["--layer", "conv3", "--filter", "0..4", "--count", "5", "--steps", "2", "--size", "40"]);
    let output = command.assert().success();
    let rows = rows(&output, "layer,filter,rank,path,score,left,top,right,bottom");
    assert!(rows.len() > 4 && rows.len() <= 20, "{}", rows.len());
    for row in &rows {
        assert!(Path::new(&row[3]).exists(), "{row:?}");
        let numbers: Vec<f64> = row[4..].iter().map(|field| field.parse().unwrap()).collect();
        let [score, left, top, right, bottom] = numbers[..] else { panic!("{row:?}") };
        assert!(score > 0.0 && left <= right && top <= bottom && right < 32.0 && bottom < 32.0, "{row:?}");
    }
    assert!(shows_something(&out.join("top-images-conv3.png")));
    let json = deepcluster()
        .args([
            "--json",
            "top-images",
            "--layer",
            "conv1",
            "--filter",
            "2",
            "-n",
            "1",
            "--no-filter-pictures",
        ])
        .args(["--score", "max"])
        .arg(&run)
        .arg(&images)
        .assert()
        .success();
    let found = &results(&json)[0];
    assert_eq!((&found["filter"], &found["rank"]), (&2.into(), &1.into()));
    assert_eq!(found["region"].as_array().map(Vec::len), Some(4));
}

#[test]
fn neighbors_of_the_untrained_network_stand_beside_those_of_the_trained() {
    let (folder, images, run) = finished_run();
    let kind = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let query = fs::read_dir(kind).unwrap().next().unwrap().unwrap().path();
    let picture = folder.path().join("neighbors.png");
    let mut command = deepcluster();
    command
        .args(["neighbors", "--compare-untrained", "-n", "4", "--picture"])
        .arg(&picture)
        .arg(&run)
        .arg(&query);
    let rows = rows(&command.assert().success(), "query,network,rank,neighbor,distance");
    let networks: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(
        networks,
        ["untrained", "untrained", "untrained", "untrained", "trained", "trained", "trained", "trained"]
    );
    assert!(rows.iter().all(|row| row[3] != query.to_str().unwrap()));
    assert!(shows_something(&picture));
    command.assert().failure().stderr(contains("--force"));
    let json = command.args(["--json", "--force"]).assert().success();
    let lines = results(&json);
    assert_eq!(lines.len(), 8);
    assert_eq!(lines[0]["network"], "untrained");
    assert_eq!(lines[4]["neighbor"].as_str(), Some(rows[4][3].as_str()));
}

#[test]
fn bad_requests_for_pictures_are_explained() {
    let (folder, images, run) = finished_run();
    let fails = |arguments: &[&str], code: i32, words: &str| {
        let output = deepcluster().args(arguments).assert().failure().code(code);
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    let (run, images) = (run.to_str().unwrap(), images.to_str().unwrap());
    fails(&["filters", run, "--layer", "conv9"], 2, "choose among conv1");
    fails(&["filters", run, "--filter", "a.."], 2, "is not a list of filters");
    fails(&["filters", run, "--filter", "5000"], 2, "has no filter 5000");
    fails(&["filters", run, "--steps", "0"], 2, "steps = 0");
    fails(&["filters", run, "--size", "9", "--layer", "conv1"], 2, "choose a larger size");
    fails(&["top-images", run, images, "--count", "0"], 2, "count = 0");
    fails(&["top-images", run, "/no/such/folder"], 2, "/no/such/folder");
    fails(&["kernels", folder.path().to_str().unwrap()], 2, "run.json");
    fails(&["report", run, "--thumbnail-size", "4"], 2, "thumbnail_size = 4");
    fails(&["report", folder.path().to_str().unwrap()], 2, "run.json");
}

#[test]
fn pictures_and_tables_replace_only_earlier_ones() {
    let (folder, images, run) = finished_run();
    let (run, images) = (run.to_str().unwrap(), images.to_str().unwrap());
    let out = folder.path().join("mine");
    let few = ["--layer", "conv1", "--filter", "0"];
    let commands: [(&[&str], &str); 5] = [
        (&["curves", run], "curves.csv"),
        (&["filters", run, "--steps", "1", "--size", "40"], "filters-conv1.png"),
        (&["top-images", run, images, "--no-filter-pictures"], "top-images-conv1.png"),
        (&["eval", "clusters", run], "results.md"),
        (&["kernels", run], "kernels.png"),
    ];
    for (arguments, name) in commands {
        let is_file = arguments[0] == "kernels";
        let call = |force: &[&str]| {
            let mut command = deepcluster();
            command.args(arguments).arg("--out").arg(if is_file { out.join(name) } else { out.clone() });
            command.args(if arguments.contains(&"filters") || arguments.contains(&"top-images") {
                &few[..]
            } else {
                &[]
            });
            command.args(force).assert()
        };
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        fs::write(out.join(name), "mine").unwrap();
        call(&[]).failure();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "{arguments:?}");
        assert_eq!(fs::read(out.join(name)).unwrap(), b"mine", "{arguments:?}");
        call(&["--force"]).success();
        assert_ne!(fs::read(out.join(name)).unwrap(), b"mine", "{arguments:?}");
        // The command replaces its own files.
        if !is_file {
            call(&[]).success();
        }
    }
}
