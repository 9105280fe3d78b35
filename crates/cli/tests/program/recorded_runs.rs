//! Five small runs leave the bits that were recorded before the trainer became an engine with objectives.
//!
//! Sums of a vector are grouped by the width of the registers and the size of the caches, so that bits belong
//! to a kind of processor: on one that has no record, the numbers of the first epoch are compared instead.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::common::{deepcluster, draw_images};

const FILES: [&str; 3] = ["model.safetensors", "assignments.csv", "metrics.jsonl"];

#[derive(Deserialize)]
struct Record {
    /// Processor, run, file, SHA-256.
    processors: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    /// Inertia and, where the run trains, loss of its first line of metrics, on any processor.
    numbers: BTreeMap<String, (f64, Option<f64>)>,
}

#[test]
fn recorded_runs_keep_their_bits() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 120);
    let config = configuration(folder.path());
    let mut runs = BTreeMap::new();
    for (name, algorithm, device) in [
        ("kmeans", "kmeans", "cpu"),
        ("pic", "pic", "cpu"),
        ("lin-cohen-pic", "lin-cohen-pic", "cpu"),
        ("two-devices", "kmeans", "cpu,cpu"),
    ] {
        let run = folder.path().join(name);
        let mut train = deepcluster();
        train.arg("train").arg(&images).arg("--out").arg(&run).arg("--config").arg(&config);
        train.args(["--device", device, "--set", &format!("objective.clustering.algorithm={algorithm}")]);
        train.assert().success();
        runs.insert(name, run);
    }
    let resumed = folder.path().join("resumed");
    train_in_two_parts(&images, &resumed, &config);
    for file in FILES {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&runs["kmeans"]) == read(&resumed), "{file} of the resumed run differs");
    }
    runs.insert("imported", imported(&images, folder.path()));

    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recorded_runs.json");
    let record: Record = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
    for (name, run) in &runs {
        compare_numbers(name, &first_numbers(run), &record.numbers[*name]);
    }
    let processor = processor();
    let found: BTreeMap<_, _> = runs.iter().map(|(name, run)| (name.to_string(), hashes(run))).collect();
    match record.processors.get(&processor) {
        Some(recorded) => assert_eq!(recorded, &found, "on a processor with {processor}"),
        None => eprintln!(
            "only numbers compared: no bits are recorded for a processor with {processor}:\n{}",
            serde_json::to_string_pretty(&BTreeMap::from([(processor.clone(), &found)])).unwrap()
        ),
    }
}

fn configuration(folder: &Path) -> PathBuf {
    let path = folder.join("recorded.toml");
    let text = "seed = 5\n[images]\nsize = 32\n[network]\nwidth = 0.125\n[objective]\n\
                clustering.num_clusters = 12\nwhitening.num_components = 16\n[training]\nepochs = 2\n\
                batch_size = 24\nknn_neighbors = 5\ncheckpoint_steps = 2\n";
    fs::write(&path, text).unwrap();
    path
}

/// Kills a run once it has a checkpoint within an epoch, and resumes it.
fn train_in_two_parts(images: &Path, run: &Path, config: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepcluster"));
    command.args(["--quiet", "train", "--device", "cpu"]).arg(images).arg("--out").arg(run);
    let mut child = command.arg("--config").arg(config).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !has_checkpoint_within_epoch(run) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(has_checkpoint_within_epoch(run) && !run.join("model.safetensors").exists());
    let mut resume = deepcluster();
    resume.args(["train", "--resume", "--device", "cpu", "--out"]).arg(run).assert().success();
}

fn has_checkpoint_within_epoch(run: &Path) -> bool {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else { return false };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.into_iter().any(|name| name.starts_with("epoch-") && !name.ends_with("-step-0"))
}

/// A run of two more epochs than the checkpoint of the original code that it begins with.
fn imported(images: &Path, folder: &Path) -> PathBuf {
    let checkpoint = "../models/tests/checkpoints/alexnet-legacy.pth.tar";
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join(checkpoint);
    let run = folder.join("imported");
    deepcluster().arg("import").arg(checkpoint).arg("--out").arg(&run).assert().success();
    let mut train = deepcluster();
    train.args(["train", "--resume", "--epochs", "9", "--device", "cpu", "--out"]).arg(&run).arg(images);
    train.assert().success();
    run
}

fn hashes(run: &Path) -> BTreeMap<String, String> {
    let hash = |file: &str| {
        let digest = Sha256::digest(fs::read(run.join(file)).unwrap());
        (file.to_string(), digest.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    FILES.into_iter().map(hash).collect()
}

fn first_numbers(run: &Path) -> (f64, Option<f64>) {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    (line["inertia"].as_f64().unwrap(), line["loss"].as_f64())
}

fn compare_numbers(run: &str, found: &(f64, Option<f64>), recorded: &(f64, Option<f64>)) {
    // Rounding differs between processors; on features of another network these numbers differ by far more.
    let agree = |found: f64, recorded: f64| (found - recorded).abs() <= 1e-3 * recorded.abs();
    let losses_agree = match (found.1, recorded.1) {
        (Some(found), Some(recorded)) => agree(found, recorded),
        (found, recorded) => found == recorded,
    };
    assert!(agree(found.0, recorded.0) && losses_agree, "{run}: found {found:?}, recorded {recorded:?}");
}

/// The widest registers and the sizes of the caches.
pub(crate) fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let registers = if std::is_x86_feature_detected!("avx512f") {
        "avx512"
    } else if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        "avx2"
    } else {
        "sse2"
    };
    #[cfg(not(target_arch = "x86_64"))]
    let registers = std::env::consts::ARCH;
    let cache = |index: usize| {
        let size = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        fs::read_to_string(size).map_or("unknown".to_string(), |size| size.trim().to_string())
    };
    format!("{registers}, {} L1, {} L2", cache(0), cache(2))
}
