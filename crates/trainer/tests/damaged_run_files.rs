//! Damaged text files of a run are refused or read, in memory that their length bounds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use deepcluster_damage::{CountingAllocator, Outcomes, ReaderTest};
use deepcluster_evaluation::ClusterAgreement;
use deepcluster_trainer::{EpochMetrics, EpochTimings, RunDirectory, TrainConfig, TrainerError};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const NUM_IMAGES: usize = 12;

fn metrics(epoch: usize) -> EpochMetrics {
    let labels = ClusterAgreement {
        nmi_arithmetic: 0.5,
        nmi_geometric: 0.25,
        adjusted_rand_index: -0.125,
        purity: 0.75,
        num_labelled: NUM_IMAGES,
    };
    EpochMetrics {
        epoch,
        loss: (epoch > 0).then_some(1.2345e-3),
        nmi_to_previous: (epoch > 0).then_some(0.875),
        labels: Some(labels),
        knn_accuracy: None,
        inertia: Some(17.5),
        num_clusters: 3,
        num_empty: 0,
        cluster_sizes: vec![5, 4, 3],
        num_images: NUM_IMAGES,
        num_samples: NUM_IMAGES,
        num_components: 8,
        measures: Default::default(),
    }
}

fn timings(epoch: usize) -> EpochTimings {
    EpochTimings { epoch, features_seconds: 0.1, training_images_per_second: 1e3, ..EpochTimings::default() }
}

/// A run with all its text files.
fn run(root: &Path) -> RunDirectory {
    let images = root.join("images");
    fs::create_dir(&images).unwrap();
    let run =
        RunDirectory::create(&root.join("a-run"), &images.as_path().into(), &TrainConfig::default()).unwrap();
    let rows = |header: &str, row: &dyn Fn(usize) -> String| {
        let rows: Vec<String> = (0..NUM_IMAGES).map(row).collect();
        format!("{header}\n{}\n", rows.join("\n"))
    };
    let name = |index: usize| if index == 3 { "\"a, b/3.png\"".into() } else { format!("a/{index}.png") };
    let write = |name: &str, text: String| fs::write(run.file(name), text).unwrap();
    write(
        "images.csv",
        rows("path,label", &|index| format!("{},{}", name(index), ["", "cat", "dog"][index % 3])),
    );
    write(
        "skipped.csv",
        rows("path,reason", &|index| format!("bad/{index}.jpg,\"it is no image, or broken\"")),
    );
    write(
        "assignments.csv",
        rows("path,cluster,distance", &|index| {
            format!("{},{},{}", name(index), index % 3, index as f32 / 7.0)
        }),
    );
    let lines = |line: &dyn Fn(usize) -> String| (0..4).map(|epoch| line(epoch) + "\n").collect::<String>();
    write("metrics.jsonl", lines(&|epoch| serde_json::to_string(&metrics(epoch)).unwrap()));
    write("timings.jsonl", lines(&|epoch| serde_json::to_string(&timings(epoch)).unwrap()));
    run
}

#[test]
fn sound_files_are_read_as_written() {
    let root = tempfile::tempdir().unwrap();
    let run = run(root.path());
    let images = run.images().unwrap();
    assert_eq!((images.len(), images.name(3)), (NUM_IMAGES, ("a, b/3.png")));
    let labels = images.labels().unwrap();
    assert_eq!(
        (labels.names.as_slice(), labels.of_image[2]),
        (["cat", "dog"].map(String::from).as_slice(), Some(1))
    );
    assert_eq!((run.skipped().unwrap().len(), run.assignments().unwrap()[5]), (NUM_IMAGES, (2, 5.0 / 7.0)));
    assert_eq!(run.metrics().unwrap(), [0, 1, 2, 3].map(metrics));
    assert_eq!(run.timings().unwrap(), [0, 1, 2, 3].map(timings));
}

/// Damages one file of a run and reads it.
fn damaged<T>(name: &str, named: &str, read: impl Fn(&RunDirectory) -> Result<T, TrainerError>) -> Outcomes {
    let root = tempfile::tempdir().unwrap();
    let run = run(root.path());
    let outcomes = ReaderTest::new(name, [fs::read(run.file(name)).unwrap()])
        .named(named)
        .folder(run.path())
        .num_cases(2_000)
        .memory(64, 128 << 10)
        .run(|_| read(&RunDirectory::open(run.path())?));
    assert!(outcomes.num_refused > 0, "{outcomes:?}");
    outcomes
}

#[test]
fn run_json() {
    // Some errors are of the run.
    damaged("run.json", "a-run", |run| run.location().and(run.origin()));
}

#[test]
fn images_csv() {
    damaged("images.csv", "images.csv", RunDirectory::images);
}

#[test]
fn skipped_csv() {
    damaged("skipped.csv", "skipped.csv", RunDirectory::skipped);
}

#[test]
fn assignments_csv() {
    damaged("assignments.csv", "assignments.csv", RunDirectory::assignments);
}

#[test]
fn metrics_jsonl() {
    damaged("metrics.jsonl", "metrics.jsonl", RunDirectory::metrics);
}

#[test]
fn timings_jsonl() {
    damaged("timings.jsonl", "timings.jsonl", RunDirectory::timings);
}
