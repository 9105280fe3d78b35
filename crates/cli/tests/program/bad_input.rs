//! Every invalid input leads to a clear error and the documented exit code: no panic, nothing
//! half-written.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{assert_same_results, deepcluster, draw_images, finished_run, tiny_config, train};
use tempfile::TempDir;

/// Runs the program and checks its exit code and phrases of its message.
fn assert_fails(arguments: &[&str], code: i32, words: &[&str]) {
    let output = deepcluster().args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{arguments:?}: '{word}' is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Drawings {
    folder: TempDir,
    images: PathBuf,
    config: PathBuf,
    out: PathBuf,
}

fn drawings(num_images: usize) -> Drawings {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), num_images);
    let config = tiny_config(folder.path(), 1);
    let out = folder.path().join("run");
    Drawings { folder, images, config, out }
}

impl Drawings {
    fn train<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments =
            vec!["train", text(&self.images), "--out", text(&self.out), "--config", text(&self.config)];
        arguments.extend(more);
        arguments
    }
}

/// One image for all, `count` times.
fn write_equal_images(folder: &Path, count: usize) {
    let image = image::RgbImage::from_pixel(40, 40, image::Rgb([90, 120, 30]));
    for index in 0..count {
        image.save(folder.join(format!("{index}.png"))).unwrap();
    }
}

#[test]
fn impossible_numbers_of_clusters_are_refused_before_anything_is_written() {
    let drawings = drawings(24);
    assert_fails(&drawings.train(&["--clusters", "25"]), 2, &["24", "25 clusters", "lower"]);
    assert_fails(
        &drawings.train(&["--clusters", "1"]),
        2,
        &["objective.clustering.num_clusters = 1", "2 to "],
    );
    assert_fails(&drawings.train(&["--clusters", "0"]), 2, &["objective.clustering.num_clusters = 0"]);
    assert!(!drawings.out.exists());
}

#[test]
fn wrong_settings_are_named() {
    let drawings = drawings(24);
    assert_fails(&drawings.train(&["--set", "training.lerning_rate=1"]), 2, &["objective.learning_rate"]);
    assert_fails(&drawings.train(&["--set", "training.epochs"]), 2, &["key=value"]);
    assert_fails(&drawings.train(&["--arch", "resnet"]), 2, &["resnet", "alexnet"]);
    assert_fails(&drawings.train(&["--image-size", "16"]), 2, &["images.size = 16", "32"]);
    assert_fails(&drawings.train(&["--arch", "alexnet"]), 2, &["63 px"]);
    assert_fails(&drawings.train(&["--learning-rate", "-1"]), 2, &[]);
    assert_fails(&drawings.train(&["--set", "objective.learning_rate=-1"]), 2, &["more than 0"]);
    assert_fails(&drawings.train(&["--device", "quantum"]), 2, &["quantum", "cpu"]);
    fs::write(drawings.folder.path().join("bad.toml"), "[training]\nepoch = 3\n").unwrap();
    let bad = drawings.folder.path().join("bad.toml");
    let arguments = ["train", text(&drawings.images), "--out", text(&drawings.out), "--config", text(&bad)];
    assert_fails(&arguments, 2, &["did you mean 'training.epochs'"]);
    assert!(!drawings.out.exists());
}

#[test]
fn folders_without_images_say_what_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let texts = folder.path().join("texts");
    fs::create_dir(&texts).unwrap();
    fs::write(texts.join("notes.txt"), "no image").unwrap();
    assert_fails(&["train", text(&texts), "--out", text(&out)], 2, &["no readable image", "1 files seen"]);
    assert_fails(&["train", text(&texts.join("notes.txt")), "--out", text(&out)], 2, &["not a folder"]);
    // Text under the name of images: each is tried, none can be decoded.
    for index in 0..20 {
        fs::write(texts.join(format!("{index}.jpg")), "still no image").unwrap();
    }
    let arguments = ["train", text(&texts), "--out", text(&out), "--image-size", "32", "--clusters", "2"];
    assert_fails(&arguments, 1, &["none of the 20 images", "JPEG, PNG"]);
}

#[test]
fn one_image_is_too_few() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    write_equal_images(&images, 1);
    let out = folder.path().join("run");
    let words = ["1 readable image", "add images, at least 2"];
    assert_fails(&["train", text(&images), "--out", text(&out)], 2, &words);
    assert!(!out.exists());
}

#[test]
fn a_missing_folder_is_wrong_usage_for_every_command() {
    let (folder, _images, run) = finished_run();
    let missing = folder.path().join("missing");
    let (run, missing, out) = (text(&run), text(&missing), folder.path().join("out.npy"));
    let out = text(&out);
    let commands: [&[&str]; 12] = [
        &["train", missing, "--out", out],
        &["sweep", missing, "-k", "2", "--out", out, "--test", missing],
        &["assign", run, missing],
        &["features", run, missing, "--out", out],
        &["top-images", run, missing],
        &["eval", "clusters", run, missing],
        &["eval", "knn", run, "--train", missing, "--test", missing],
        &["eval", "linear", run, "--train", missing, "--test", missing],
        &["eval", "retrieve", run, "--images", missing],
        &["eval", "voc-classify", run, "--voc", missing],
        &["inspect", missing],
        &["report", missing],
    ];
    for arguments in commands {
        assert_fails(arguments, 2, &["missing"]);
    }
}

#[test]
fn files_that_exist_are_wrong_usage_for_every_command_that_would_replace_them() {
    let (folder, images, run) = finished_run();
    let taken = folder.path().join("taken.npy");
    fs::write(&taken, "years of work").unwrap();
    let (images, run, taken) = (text(&images), text(&run), text(&taken));
    let commands: [&[&str]; 4] = [
        &["assign", run, images, "--folders", taken],
        &["features", run, images, "--out", taken],
        &["export", run, "--format", "safetensors", "--out", taken],
        &["demo", "--out", taken],
    ];
    for arguments in commands {
        assert_fails(arguments, 2, &["exists already"]);
    }
    assert_eq!(fs::read_to_string(taken).unwrap(), "years of work");
}

#[test]
fn absurd_settings_of_training_are_refused_or_harmless() {
    let drawings = drawings(24);
    for (setting, field) in [
        ("seed=18446744073709551615", "at most 9223372036854775807"),
        ("images.crop_scale_min=1e-300", "images.crop_scale_min"),
        ("images.crop_ratio_min=1e-300", "images.crop_ratio_min"),
        ("objective.clustering.num_iterations=1000000000000", "1 to 1000000"),
        ("objective.clustering.num_redos=1000000000000", "1 to 10000"),
        ("training.epochs=1000000000000", "0 to 99999"),
        ("objective.epochs_per_clustering=1e18", "at most 10000"),
        ("objective.learning_rate=inf", "more than 0"),
        ("objective.weight_decay=nan", "at least 0"),
    ] {
        assert_fails(&drawings.train(&["--set", setting]), 2, &[field]);
    }
    let large = ["--image-size", "1024", "--set", "network.width=8"];
    assert_fails(&drawings.train(&large), 2, &["weights", "lower network.width"]);
    assert!(!drawings.out.exists());
    let settings = [
        "objective.clustering.variant=mini-batch",
        "objective.clustering.mini_batch_size=1000000000000",
        "training.batch_size=1048576",
        "training.feature_batch_size=1048576",
        "images.prefetch_batches=1024",
        "images.num_workers=1024",
        "objective.whitening.num_components=1000000",
        "training.checkpoint_steps=1000000000000",
    ];
    let options: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
    deepcluster().args(drawings.train(&options)).assert().success();
}

#[test]
fn absurd_options_of_other_commands_are_refused_or_harmless() {
    let (folder, images, run) = finished_run();
    let query = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let query =
        if query.is_dir() { fs::read_dir(&query).unwrap().next().unwrap().unwrap().path() } else { query };
    let out = folder.path().join("out");
    let (run, images, out) = (text(&run), text(&images), text(&out));
    let linear = ["eval", "linear", run, "--train", images, "--test", images, "--no-baseline", "--out", out];
    for number in ["2147483648", "1000000000000", "18446744073709551615"] {
        deepcluster().args(["neighbors", run, text(&query), "-n", number]).assert().success();
        let epochs = ["--epochs", "1", "--label-epochs", number];
        assert_fails(&[&linear[..], &epochs].concat(), 2, &["epochs", number]);
        assert_fails(&[&linear[..], &["--epochs", number]].concat(), 2, &["epochs", number]);
    }
    let knn = ["eval", "knn", run, "--train", images, "--test", images, "--no-baseline", "--out", out];
    assert_fails(&[&knn[..], &["--temperature", "nan"]].concat(), 2, &["temperature"]);
    assert_fails(&[&knn[..], &["-k", "0"]].concat(), 2, &["num_neighbors = 0"]);
}

#[test]
fn what_is_no_file_of_settings_is_wrong_usage() {
    let drawings = drawings(24);
    let path = drawings.folder.path().join("other.toml");
    let arguments = ["train", text(&drawings.images), "--out", text(&drawings.out), "--config", text(&path)];
    assert_fails(&arguments, 2, &["other.toml", "cannot be read"]);
    fs::write(&path, b"\xff\xfe").unwrap();
    assert_fails(&arguments, 2, &["other.toml", "UTF-8"]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_fails(&arguments, 2, &["other.toml", "is a folder"]);
    assert!(!drawings.out.exists());
}

#[test]
fn an_event_file_that_a_power_cut_emptied_is_written_anew() {
    let (_folder, _images, run) = finished_run();
    let path = run.join("tensorboard/events.out.tfevents.deepcluster");
    let whole = fs::read(&path).unwrap();
    for left in [&[][..], &whole[..whole.len() / 2], b"something else"] {
        fs::write(&path, left).unwrap();
        deepcluster().args(["train", "--resume", "--out", text(&run)]).assert().success();
        // But for the times of its records it is what it was.
        assert_eq!(fs::read(&path).unwrap().len(), whole.len());
    }
}

#[test]
fn equal_images_train_with_fewer_dimensions_and_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    write_equal_images(&images, 30);
    let config = tiny_config(folder.path(), 1);
    let run = folder.path().join("run");
    train(&images, &run, &config);
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    assert_eq!((&first["num_components"], &first["num_images"]), (&1.into(), &30.into()));
    assert!(
        fs::read_to_string(run.join("assignments.csv")).unwrap().lines().all(|line| !line.contains("NaN"))
    );
}

#[test]
fn fewer_images_than_dimensions_train_with_fewer_dimensions() {
    // 255 images cannot have 256 principal components, where the original fails.
    let drawings = drawings(255);
    deepcluster()
        .args(drawings.train(&["--set", "objective.whitening.num_components=256"]))
        .assert()
        .success();
    let metrics = fs::read_to_string(drawings.out.join("metrics.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    // width 0.125: 128 features.
    assert!(first["num_components"].as_u64().unwrap() <= 128);
}

#[test]
fn broken_files_are_skipped_and_named() {
    let drawings = drawings(48);
    let broken = |name: &str, bytes: &[u8]| fs::write(drawings.images.join(name), bytes).unwrap();
    broken("empty.png", b"");
    broken("text.jpg", b"this is no image");
    let chunk = |kind: &[u8], data: &[u8]| {
        let content = [kind, data].concat();
        let length = (data.len() as u32).to_be_bytes();
        [&length[..], &content, &crc32fast::hash(&content).to_be_bytes()].concat()
    };
    let side = 50_000_u32.to_be_bytes();
    let header = chunk(b"IHDR", &[&side[..], &side, &[8, 2, 0, 0, 0]].concat());
    let bomb = [&b"\x89PNG\r\n\x1a\n"[..], &header, &chunk(b"IDAT", &[]), &chunk(b"IEND", &[])].concat();
    broken("bomb.png", &bomb);
    image::RgbImage::from_pixel(1, 1, image::Rgb([9, 9, 9])).save(drawings.images.join("pixel.png")).unwrap();
    deepcluster().args(drawings.train(&[])).assert().success();
    let skipped = fs::read_to_string(drawings.out.join("skipped.csv")).unwrap();
    for (name, word) in [("empty.png", "empty"), ("text.jpg", "JPEG, PNG"), ("bomb.png", "50000 x 50000")] {
        assert!(skipped.lines().any(|line| line.contains(name) && line.contains(word)), "{name}: {skipped}");
    }
    assert_eq!(skipped.lines().count(), 4, "{skipped}");
    // 48 drawings and the single pixel.
    assert_eq!(fs::read_to_string(drawings.out.join("images.csv")).unwrap().lines().count(), 50);
}

#[cfg(unix)]
#[test]
fn odd_names_and_looping_links_are_no_obstacle() {
    use std::os::unix::ffi::OsStrExt;
    let drawings = drawings(48);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9,\"1\"\n.png");
    image::RgbImage::from_pixel(40, 30, image::Rgb([9, 99, 9]))
        .save(drawings.images.join("plain.png"))
        .unwrap();
    fs::rename(drawings.images.join("plain.png"), drawings.images.join(name)).unwrap();
    std::os::unix::fs::symlink(&drawings.images, drawings.images.join("loop")).unwrap();
    deepcluster().args(drawings.train(&[])).assert().success();
    let csv = fs::read(drawings.out.join("assignments.csv")).unwrap();
    assert!(csv.windows(4).any(|window| window == b"caf\xe9"));
    // The odd name survives the way through images.csv.
    deepcluster().args(["train", "--resume", "--out", text(&drawings.out)]).assert().success();
    assert!(fs::read(drawings.out.join("assignments.csv")).unwrap() == csv);
    let skipped = fs::read_to_string(drawings.out.join("skipped.csv")).unwrap();
    assert!(skipped.contains("loop"), "{skipped}");
}

#[test]
fn output_folders_in_use_are_left_alone() {
    let (folder, images, run) = finished_run();
    let before = fs::read(run.join("model.safetensors")).unwrap();
    assert_fails(&["train", text(&images), "--out", text(&run)], 2, &["already holds a run", "--resume"]);
    assert!(fs::read(run.join("model.safetensors")).unwrap() == before);
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "years of work").unwrap();
    assert_fails(&["train", text(&images), "--out", text(&other)], 2, &["not empty"]);
    assert_fails(&["train", "--resume", "--out", text(&other)], 2, &["not a run directory"]);
    let resume = ["train", "--resume", "--out", text(&run), "--set", "training.batch_size=8"];
    assert_fails(&resume, 2, &["training.batch_size", "24", "8"]);
    assert_fails(&["train", text(&other), "--resume", "--out", text(&run)], 2, &["was begun on"]);
}

#[test]
fn unwritable_outputs_are_errors() {
    let drawings = drawings(24);
    let file = drawings.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let below_a_file = file.join("run");
    assert_fails(
        &["train", text(&drawings.images), "--out", text(&below_a_file)],
        1,
        &["cannot create", "file"],
    );
    // A device that is always full.
    if Path::new("/dev/full").exists() {
        let (_folder, images, run) = finished_run();
        let output =
            deepcluster().arg("assign").arg(&run).arg(&images).args(["--out", "/dev/full/x.csv"]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write"));
    }
}

/// Trains on a file system of a megabyte, gives it more room, and resumes.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_stops_a_run_that_can_be_resumed() {
    // A file system of one's own needs no rights within a user namespace, where the machine allows those.
    let in_namespace = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-eu", "-c", script]);
        command
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size=1m tmpfs {}", text(&disk));
    if !in_namespace(&mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let (_finished, images, expected) = finished_run();
    let config = tiny_config(folder.path(), 2);
    let found = folder.path().join("found");
    fs::create_dir(&found).unwrap();
    let script = format!(
        "{mount}
         if {program} --quiet train {images} --out {disk}/run --config {config} 2> {found}/stderr
         then exit 7; fi
         (cd {disk} && find .) > {found}/files
         mount -o remount,size=64m {disk}
         {program} --quiet train {images} --out {disk}/run --resume
         cp -r {disk}/run {found}/run",
        program = env!("CARGO_BIN_EXE_deepcluster"),
        images = text(&images),
        disk = text(&disk),
        config = text(&config),
        found = text(&found),
    );
    let output = in_namespace(&script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stderr = fs::read_to_string(found.join("stderr")).unwrap();
    assert!(stderr.contains("No space left on device") && stderr.contains("cannot write"), "{stderr}");
    let files = fs::read_to_string(found.join("files")).unwrap();
    assert!(!files.contains("tmp"), "something is half-written: {files}");
    assert_same_results(&expected, &found.join("run"));
}

#[test]
fn runs_of_another_version_or_damaged_ones_are_refused() {
    let (_folder, images, run) = finished_run();
    let model = fs::read(run.join("model.safetensors")).unwrap();
    for length in [0, 7, 100, model.len() - 1] {
        fs::write(run.join("model.safetensors"), &model[..length]).unwrap();
        assert_fails(&["assign", text(&run), text(&images)], 1, &["model.safetensors is damaged"]);
    }
    fs::remove_file(run.join("model.safetensors")).unwrap();
    assert_fails(&["assign", text(&run), text(&images)], 1, &["is not finished"]);
    let meta = fs::read_to_string(run.join("run.json")).unwrap();
    fs::write(run.join("run.json"), meta.replace("\"format\": 2", "\"format\": 99")).unwrap();
    assert_fails(&["inspect", text(&run)], 1, &["format 99"]);
    fs::write(run.join("run.json"), "{").unwrap();
    assert_fails(&["inspect", text(&run)], 2, &["not a run directory"]);
}

#[test]
fn a_truncated_checkpoint_falls_back_to_the_one_before_and_two_are_an_error() {
    let (_folder, _images, run) = finished_run();
    let expected = fs::read(run.join("model.safetensors")).unwrap();
    let mut checkpoints: Vec<PathBuf> =
        fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    assert_eq!(checkpoints.len(), 2);
    let truncate = |checkpoint: &Path| {
        let path = checkpoint.join("network.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    truncate(&checkpoints[1]);
    let resume = ["train", "--resume", "--out", text(&run)];
    deepcluster().args(resume).assert().success();
    assert!(fs::read(run.join("model.safetensors")).unwrap() == expected);
    for checkpoint in fs::read_dir(run.join("checkpoints")).unwrap() {
        truncate(&checkpoint.unwrap().path());
    }
    assert_fails(&resume, 1, &["no checkpoint", "network.safetensors"]);
}

#[test]
fn queries_that_are_no_images_are_named() {
    let (folder, _images, run) = finished_run();
    let missing = folder.path().join("missing.jpg");
    assert_fails(&["neighbors", text(&run), text(&missing)], 1, &["missing.jpg"]);
    let broken = folder.path().join("broken.jpg");
    fs::write(&broken, "no image").unwrap();
    assert_fails(&["neighbors", text(&run), text(&broken)], 1, &["broken.jpg"]);
    assert_fails(&["neighbors", "-n", "0", text(&run), text(&broken)], 2, &["at least 1"]);
}
