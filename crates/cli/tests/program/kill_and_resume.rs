//! A run killed at random moments and resumed ends in the same files as one that was left alone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use deepcluster_testing::predicates::str::contains;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::{assert_same_results, deepcluster, draw_images, finished_run, tiny_config};

const NUM_KILLS: usize = 20;

struct Runs {
    _folder: tempfile::TempDir,
    images: PathBuf,
    config: PathBuf,
    /// Of an uninterrupted run.
    reference: PathBuf,
    duration: Duration,
    interrupted: PathBuf,
}

fn runs(num_images: usize, num_epochs: usize) -> Runs {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), num_images);
    let config = tiny_config(folder.path(), num_epochs);
    let (reference, interrupted) = (folder.path().join("reference"), folder.path().join("interrupted"));
    let start = Instant::now();
    let mut train = deepcluster();
    train
        .arg("train")
        .arg(&images)
        .arg("--out")
        .arg(&reference)
        .arg("--config")
        .arg(&config)
        .assert()
        .success();
    Runs { images, config, reference, duration: start.elapsed(), interrupted, _folder: folder }
}

/// Starts the run, or resumes it once it exists.
fn start(runs: &Runs) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepcluster"));
    command.args(["--quiet", "train", "--out"]).arg(&runs.interrupted);
    if runs.interrupted.join("run.json").exists() {
        command.arg("--resume");
    } else {
        command.arg(&runs.images).arg("--config").arg(&runs.config);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn temporary_files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".writing-")).count()
}

#[test]
fn killed_at_twenty_random_moments_and_resumed() {
    let runs = runs(240, 3);
    let mut generator = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..NUM_KILLS {
        let mut child = start(&runs);
        // Mostly short lives, so that many kills fit into one run; up to a third of the whole now and then.
        let share: f64 = generator.random::<f64>().powi(2) / 3.0;
        thread::sleep(runs.duration.mul_f64(share));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = start(&runs).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_results(&runs.reference, &runs.interrupted);
    assert_eq!(temporary_files(&runs.interrupted.join("checkpoints")), 0);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_a_checkpoint_and_says_how_to_go_on() {
    let runs = runs(480, 2);
    let child = start(&runs);
    let checkpoints = runs.interrupted.join("checkpoints");
    let deadline = Instant::now() + Duration::from_secs(120);
    while !checkpoints.exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("--resume"), "{message}");
    assert!(std::fs::read_dir(&checkpoints).unwrap().count() > 0);
    let output = start(&runs).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_results(&runs.reference, &runs.interrupted);
}

#[test]
fn more_epochs_on_resume_equal_a_run_that_had_them_from_the_start() {
    let runs = runs(120, 3);
    let config = tiny_config(runs.config.parent().unwrap(), 1);
    let mut train = deepcluster();
    train.arg("train").arg(&runs.images).arg("--out").arg(&runs.interrupted).arg("--config").arg(config);
    train.assert().success();
    let mut resume = deepcluster();
    resume.args(["train", "--resume", "--epochs", "3", "--out"]).arg(&runs.interrupted).assert().success();
    assert_same_results(&runs.reference, &runs.interrupted);
}

#[test]
fn a_run_killed_before_it_began_is_begun_again() {
    let (_folder, images, run) = finished_run();
    let beginning = run.parent().unwrap().join("beginning");
    std::fs::create_dir(&beginning).unwrap();
    std::fs::write(beginning.join("lock"), "").unwrap();
    std::fs::copy(run.join("config.toml"), beginning.join("config.toml")).unwrap();
    std::fs::write(beginning.join(".writing-deepcluster-a1B2c3.tmp"), "half").unwrap();
    let mut resume = deepcluster();
    resume.args(["train", "--resume", "--out"]).arg(&beginning);
    resume.assert().code(2).stderr(contains("begin with deepcluster train FOLDER"));
    let config = tiny_config(run.parent().unwrap(), 2);
    crate::common::train(&images, &beginning, &config);
    assert_same_results(&run, &beginning);
    assert_eq!(temporary_files(&beginning), 0);
}

#[test]
fn an_extension_that_was_stopped_leaves_no_mixture() {
    let (folder, images, run) = finished_run();
    let mut extend = Command::new(env!("CARGO_BIN_EXE_deepcluster"));
    extend.args(["--quiet", "train", "--resume", "--epochs", "500", "--out"]).arg(&run);
    let model = run.join("model.safetensors");
    let mut child = extend.stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while model.exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let inspected = deepcluster().arg("inspect").arg(&run).assert().success();
    let inspected = String::from_utf8_lossy(&inspected.get_output().stdout).into_owned();
    assert!(inspected.contains("not finished"), "{inspected}");
    let csv = folder.path().join("clusters.csv");
    let image = walk_to_a_file(&images);
    for arguments in [
        vec![Path::new("assign"), &run, &images, Path::new("--out"), &csv],
        vec![Path::new("neighbors"), &run, &image],
    ] {
        let refused = deepcluster().args(arguments).assert().code(1);
        refused.stderr(contains("is not finished"));
    }
    let mut more = deepcluster();
    more.args(["train", "--resume", "--epochs", "3", "--out"]).arg(&run).assert().success();
    let reference = folder.path().join("reference");
    crate::common::train(&images, &reference, &tiny_config(folder.path(), 3));
    assert_same_results(&reference, &run);
}

fn walk_to_a_file(folder: &Path) -> PathBuf {
    let path = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    if path.is_dir() { walk_to_a_file(&path) } else { path }
}

#[test]
fn a_finished_run_says_so_and_goes_on_where_its_images_have_moved() {
    let (folder, images, run) = finished_run();
    let resume = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deepcluster"));
        command.args(["train", "--resume", "--out"]).arg(&run).args(arguments).output().unwrap()
    };
    let words = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let finished = resume(&[]);
    assert!(finished.status.success() && words(&finished).contains("nothing left to do"), "{finished:?}");
    let fewer = resume(&["--epochs", "1"]);
    assert_eq!(fewer.status.code(), Some(2));
    assert!(words(&fewer).contains("at least 2"), "{fewer:?}");
    let moved = folder.path().join("moved");
    std::fs::rename(&images, &moved).unwrap();
    let lost = resume(&["--epochs", "3"]);
    assert!(words(&lost).contains("name the folder they are in now"), "{lost:?}");
    assert!(run.join("model.safetensors").exists());
    let found = resume(&["--epochs", "3", moved.to_str().unwrap()]);
    assert!(found.status.success(), "{found:?}");
    std::fs::rename(&moved, &images).unwrap();
    let reference = folder.path().join("reference");
    crate::common::train(&images, &reference, &tiny_config(folder.path(), 3));
    assert_same_results(&reference, &run);
}
