//! The files of a run on disk: results that belong together, extensions, damage, images that have moved.

use std::fs;
use std::path::{Path, PathBuf};

use deepcluster::data::{Location, SyntheticConfig, write_synthetic_folder};
use deepcluster::prelude::*;
use deepcluster::report::RunContents;
use deepcluster::trainer::EngineError;
use deepcluster::trainer::TrainedNetwork;
use deepcluster::trainer::TrainerError;

use super::cpu;

const RESULTS: [&str; 4] = ["model.safetensors", "features.safetensors", "assignments.csv", "metrics.jsonl"];

/// A folder of drawings and a finished run on them.
struct Finished {
    folder: tempfile::TempDir,
    out: PathBuf,
}

fn config(epochs: usize) -> TrainConfig {
    let mut config = TrainConfig { seed: 5, ..TrainConfig::default() };
    config.images.size = 32;
    config.network.width = 0.125;
    config.objective.clustering_mut().num_clusters = Some(6);
    config.objective.whitening_mut().num_components = 8;
    config.training.epochs = epochs;
    config.training.batch_size = 24;
    config.training.checkpoint_steps = 1;
    config.training.knn_neighbors = 0;
    config
}

fn finished(epochs: usize) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let drawings = SyntheticConfig { num_images: 48, image_size: 32, seed: 3 };
    write_synthetic_folder(&folder.path().join("images"), &drawings, &mut |_| {}).unwrap();
    let finished = Finished { out: folder.path().join("run"), folder };
    finished.train(&finished.out, config(epochs));
    finished
}

impl Finished {
    fn train(&self, out: &Path, config: TrainConfig) {
        let images = Images::open(self.folder.path().join("images")).unwrap();
        Trainer::new(config, images, out, &cpu()).unwrap().run(&mut ()).unwrap();
    }

    /// A copy of the run to be damaged.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        copy_folder(&self.out, &copy);
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_folder(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

fn resume(out: &Path, epochs: Option<usize>) -> Result<Trainer, TrainerError> {
    Trainer::resume(out, &cpu(), |config| {
        config.training.epochs = epochs.unwrap_or(config.training.epochs);
        Ok(())
    })
}

fn read_all(out: &Path) -> Vec<Vec<u8>> {
    RESULTS.iter().map(|name| fs::read(out.join(name)).unwrap()).collect()
}

/// The errors of every reader of results.
fn readers(out: &Path) -> Vec<(&'static str, Option<String>)> {
    let run = RunDirectory::open(out).unwrap();
    let words = |error: TrainerError| error.to_string();
    vec![
        ("is_finished", run.is_finished().err().map(words)),
        ("features", run.features().err().map(words)),
        ("model", TrainedModel::load(&run, &cpu()).err().map(words)),
        ("network", TrainedNetwork::load(&run, &cpu()).err().map(words)),
        ("report", RunContents::read(&run).err().map(|error| error.to_string())),
    ]
}

/// Stops after the first checkpoint.
struct StopAtOnce {
    saved: bool,
}

impl TrainObserver for StopAtOnce {}

impl Observer for StopAtOnce {
    fn event(&mut self, event: &Event) {
        self.saved |= matches!(event, Event::Saved(_));
    }

    fn should_stop(&self) -> bool {
        self.saved
    }
}

#[test]
fn an_extended_run_is_unfinished_until_its_end_and_ends_as_one_that_was_longer_from_the_start() {
    let finished = finished(1);
    let reference = finished.folder.path().join("reference");
    finished.train(&reference, config(3));
    let out = finished.copy("extended");
    let stopped = resume(&out, Some(3)).unwrap().run(&mut StopAtOnce { saved: false });
    assert!(matches!(stopped, Err(TrainerError::Engine(EngineError::Stopped { .. }))));
    let run = RunDirectory::open(&out).unwrap();
    assert!(!run.is_finished().unwrap());
    assert!(matches!(TrainedModel::load(&run, &cpu()), Err(TrainerError::Unfinished { .. })));
    assert!(matches!(run.features(), Err(TrainerError::Unfinished { .. })));
    // The report shows the newest clusters, without the features of the old network beside them.
    assert!(RunContents::read(&run).unwrap().features.is_none());
    assert!(run.metrics().unwrap().iter().all(|epoch| epoch.loss.is_some()));
    resume(&out, None).unwrap().run(&mut ()).unwrap();
    assert!(read_all(&reference) == read_all(&out));
}

#[test]
fn a_run_is_only_extended_where_it_can_go_on() {
    let finished = finished(1);
    let before = read_all(&finished.out);
    fs::remove_dir_all(finished.out.join("checkpoints")).unwrap();
    assert!(matches!(resume(&finished.out, Some(2)), Err(TrainerError::NoUsableCheckpoint { .. })));
    fs::rename(finished.folder.path().join("images"), finished.folder.path().join("moved")).unwrap();
    assert!(resume(&finished.out, None).unwrap().is_finished());
    assert!(read_all(&finished.out) == before);
}

#[test]
fn files_of_two_results_are_refused_by_every_reader_and_mended_by_a_resume() {
    let finished = finished(1);
    let expected = read_all(&finished.out);
    let (longer, other_seed) = (finished.folder.path().join("longer"), finished.folder.path().join("seed"));
    finished.train(&longer, config(2));
    finished.train(&other_seed, TrainConfig { seed: 6, ..config(1) });
    for (source, names) in [
        (&longer, &["model.safetensors"][..]),
        (&longer, &["model.safetensors", "features.safetensors"]),
        (&longer, &["features.safetensors"]),
        (&longer, &["assignments.csv"]),
        (&longer, &["config.toml"]),
        (&other_seed, &["model.safetensors", "features.safetensors"]),
        (&other_seed, &["features.safetensors", "assignments.csv"]),
    ] {
        let out = finished.copy("mixed");
        for name in names {
            fs::copy(source.join(name), out.join(name)).unwrap();
        }
        for (reader, words) in readers(&out) {
            let words = words.unwrap_or_default();
            assert!(words.contains("do not belong together"), "{names:?}, {reader}: {words}");
            assert!(words.contains("Resume the run"), "{names:?}, {reader}: {words}");
        }
        if names != ["config.toml"] {
            let trainer = resume(&out, None).unwrap();
            assert!(!trainer.is_finished(), "{names:?}");
            trainer.run(&mut ()).unwrap();
            assert!(read_all(&out) == expected, "{names:?}");
        }
        fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn rows_are_compared_where_files_without_marks_meet() {
    let finished = finished(1);
    strip_marks(&finished.out);
    // As the earlier program wrote it, the run is read as before.
    assert!(readers(&finished.out).into_iter().all(|(_, error)| error.is_none()));
    let images = fs::read_to_string(finished.out.join("images.csv")).unwrap();
    let rows: Vec<&str> = images.lines().collect();
    let more: Vec<&str> = rows.iter().chain(&rows[1..9]).copied().collect();
    for rows in [&rows[..20], &more] {
        fs::write(finished.out.join("images.csv"), rows.join("\n")).unwrap();
        let run = RunDirectory::open(&finished.out).unwrap();
        for error in [run.features().unwrap_err(), run.assignments().unwrap_err()] {
            let words = error.to_string();
            let counts = [format!("images.csv has {}", rows.len() - 1), "has 48 rows".to_string()];
            assert!(counts.iter().all(|count| words.contains(count)), "{words}");
        }
        assert!(RunContents::read(&run).is_err());
    }
    // A model of the earlier program tells by its settings that the run went on without it.
    fs::write(finished.out.join("images.csv"), &images).unwrap();
    let settings = fs::read_to_string(finished.out.join("config.toml")).unwrap();
    fs::write(finished.out.join("config.toml"), settings.replace("\nepochs = 1\n", "\nepochs = 9\n"))
        .unwrap();
    let run = RunDirectory::open(&finished.out).unwrap();
    assert!(matches!(run.is_finished(), Err(TrainerError::Mixed { second, .. }) if second == "config.toml"));
    fs::write(finished.out.join("config.toml"), settings).unwrap();
    // The same number in another order.
    let mut turned = rows.clone();
    turned[1..].reverse();
    fs::write(finished.out.join("images.csv"), turned.join("\n")).unwrap();
    let error = RunDirectory::open(&finished.out).unwrap().assignments().unwrap_err();
    assert!(matches!(error, TrainerError::Mixed { .. }), "{error}");
}

/// Makes model and features those of the program before marks and checksums.
fn strip_marks(out: &Path) {
    for name in ["model.safetensors", "features.safetensors"] {
        let bytes = fs::read(out.join(name)).unwrap();
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, arrays) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
        let entries = header["__metadata__"].as_object_mut().unwrap();
        entries.retain(|key, _| key == "config");
        if entries.is_empty() {
            header.as_object_mut().unwrap().remove("__metadata__");
        }
        let header = header.to_string();
        let length = (header.len() as u64).to_le_bytes();
        fs::write(out.join(name), [&length[..], header.as_bytes(), arrays].concat()).unwrap();
    }
}

#[test]
fn damage_to_model_and_features_is_noticed() {
    let finished = finished(0);
    let run = RunDirectory::open(&finished.out).unwrap();
    for (name, step) in [("model.safetensors", 997), ("features.safetensors", 1)] {
        let path = finished.out.join(name);
        let whole = fs::read(&path).unwrap();
        let model = || SavedBits::of(&run);
        let expected = model().unwrap();
        let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
        // Every byte of the header, and some of the arrays.
        for position in (0..header).chain((header..whole.len()).step_by(step)) {
            let mut damaged = whole.clone();
            damaged[position] ^= 1 << (position % 8);
            fs::write(&path, &damaged).unwrap();
            if let Ok(found) = model() {
                assert!(found == expected, "{name}: byte {position} of {} goes unnoticed", whole.len());
                assert!(position < header, "{name}: byte {position}");
            }
        }
        // A file that lost only some of its marks is not one of the earlier program.
        for key in ["checksum", "identity", "format", "images.csv"] {
            let quoted = format!("\"{key}\"");
            let place = whole.windows(quoted.len()).position(|bytes| bytes == quoted.as_bytes()).unwrap();
            let mut damaged = whole.clone();
            damaged[place + 1] = b'x';
            fs::write(&path, damaged).unwrap();
            assert!(model().is_err(), "{name} without {key}");
        }
        fs::write(&path, &whole).unwrap();
    }
}

/// All that readers take from the results.
#[derive(PartialEq)]
struct SavedBits(Vec<u8>, Vec<u32>);

impl SavedBits {
    fn of(run: &RunDirectory) -> Result<Self, TrainerError> {
        let model = TrainedModel::load(run, &cpu())?;
        let mut bytes = model.clusters().to_bytes()?;
        for data in deepcluster::models::export_weights(model.network())?.values() {
            bytes.extend(data.as_bytes());
        }
        Ok(Self(bytes, run.features()?.iter().map(|value| value.to_bits()).collect()))
    }
}

#[test]
fn a_damaged_result_is_written_again_by_a_resume() {
    let finished = finished(1);
    let expected = read_all(&finished.out);
    for name in RESULTS {
        let path = finished.out.join(name);
        let mut bytes = fs::read(&path).unwrap();
        if name == "metrics.jsonl" {
            bytes.truncate(bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1);
        } else {
            let last = bytes.len() - 3;
            bytes[last] ^= 1;
        }
        fs::write(&path, &bytes).unwrap();
        resume(&finished.out, None).unwrap().run(&mut ()).unwrap();
        assert!(read_all(&finished.out) == expected, "{name}");
    }
}

#[test]
fn a_finished_run_that_is_resumed_is_not_written_again() {
    let finished = finished(1);
    let times = || RESULTS.map(|name| fs::metadata(finished.out.join(name)).unwrap().modified().unwrap());
    let before = times();
    let trainer = resume(&finished.out, None).unwrap();
    assert!(trainer.is_finished());
    let model = trainer.run(&mut ()).unwrap();
    let saved = TrainedModel::load(&RunDirectory::open(&finished.out).unwrap(), &cpu()).unwrap();
    assert_eq!(model.clusters(), saved.clusters());
    assert_eq!(times(), before);
    // Going on step by step takes the results away first.
    resume(&finished.out, None).unwrap().step_epoch(&mut ()).unwrap();
    assert!(!RunDirectory::open(&finished.out).unwrap().is_finished().unwrap());
}

#[test]
fn fewer_epochs_than_have_begun_are_refused() {
    let finished = finished(2);
    let before = read_all(&finished.out);
    for epochs in [0, 1] {
        let error = resume(&finished.out, Some(epochs)).err().unwrap();
        assert!(matches!(error, TrainerError::InvalidConfig { .. }), "{error}");
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
    assert!(read_all(&finished.out) == before);
    assert_eq!(RunDirectory::open(&finished.out).unwrap().config().unwrap().training.epochs, 2);
    // Within an epoch it counts.
    let out = finished.folder.path().join("stopped");
    let images = Images::open(finished.folder.path().join("images")).unwrap();
    let stopped =
        Trainer::new(config(2), images, &out, &cpu()).unwrap().run(&mut StopAtOnce { saved: false });
    assert!(stopped.is_err());
    assert!(matches!(resume(&out, Some(0)), Err(TrainerError::InvalidConfig { .. })));
    // One that has just begun may end with it.
    resume(&out, Some(1)).unwrap().run(&mut ()).unwrap();
    let reference = finished.folder.path().join("reference");
    finished.train(&reference, config(1));
    assert!(read_all(&out) == read_all(&reference));
}

#[test]
fn images_may_move_but_not_be_others() {
    let finished = finished(1);
    let root = finished.folder.path();
    let moved = root.join("elsewhere/pictures");
    fs::create_dir(root.join("elsewhere")).unwrap();
    fs::rename(root.join("images"), &moved).unwrap();
    let error = resume(&finished.out, Some(2)).err().unwrap();
    assert!(matches!(error, TrainerError::ImagesGone { .. }), "{error}");
    assert!(RunDirectory::open(&finished.out).unwrap().is_finished().unwrap());
    let run = RunDirectory::open(&finished.out).unwrap();
    run.set_location(&Location::from(&moved)).unwrap();
    assert_eq!(run.location().unwrap(), Location::from(fs::canonicalize(&moved).unwrap()));
    resume(&finished.out, Some(2)).unwrap().run(&mut ()).unwrap();
    // Two of them are missing here.
    let other = root.join("other");
    copy_folder(&moved, &other);
    let images = run.images().unwrap();
    for index in [5, 11] {
        fs::remove_file(other.join(images.name(index))).unwrap();
    }
    let words = run.set_location(&Location::from(&other)).unwrap_err().to_string();
    let first = images.name(5);
    for word in ["lacks 2 of its 48 images", first] {
        assert!(words.contains(word), "{words}");
    }
    assert_eq!(run.location().unwrap(), Location::from(fs::canonicalize(&moved).unwrap()));
    assert!(matches!(run.set_location(&Location::from(root.join("nowhere"))), Err(TrainerError::Data(_))));
}

#[test]
fn a_run_of_an_earlier_version_names_its_folder_without_its_kind() {
    let finished = finished(1);
    let file = finished.out.join("run.json");
    let text = fs::read_to_string(&file).unwrap();
    let folder = fs::canonicalize(finished.folder.path().join("images")).unwrap();
    assert!(text.contains(&format!("folder:{}", folder.display())), "{text}");
    fs::write(&file, text.replace("folder:", "")).unwrap();
    let run = RunDirectory::open(&finished.out).unwrap();
    assert_eq!(run.location().unwrap(), Location::Folder(folder));
    resume(&finished.out, Some(2)).unwrap().run(&mut ()).unwrap();
    assert!(run.is_finished().unwrap());
}

#[test]
fn a_run_that_has_just_begun_is_unfinished_and_not_damaged() {
    let finished = finished(0);
    let images = Images::open(finished.folder.path().join("images")).unwrap();
    let begun = finished.folder.path().join("begun");
    let _trainer = Trainer::new(config(1), images, &begun, &cpu()).unwrap();
    let run = RunDirectory::open(&begun).unwrap();
    assert!(matches!(run.images(), Err(TrainerError::Unfinished { .. })));
    assert!(matches!(run.skipped(), Err(TrainerError::Unfinished { .. })));
    // With clusters there must be a list of images.
    fs::remove_file(finished.out.join("images.csv")).unwrap();
    let run = RunDirectory::open(&finished.out).unwrap();
    assert!(matches!(run.images(), Err(TrainerError::Damaged { .. })));
}

#[test]
fn tables_say_which_file_and_line_is_damaged() {
    let finished = finished(0);
    let run = RunDirectory::open(&finished.out).unwrap();
    let clusters = fs::read_to_string(finished.out.join("assignments.csv")).unwrap();
    let huge = format!("path,label\na,b\n\"{}", "x".repeat(3 << 20));
    let second_cluster = |text: &str| {
        let mut lines: Vec<String> = clusters.lines().map(str::to_string).collect();
        let path = lines[2].split(',').next().unwrap().to_string();
        lines[2] = format!("{path},{text}");
        lines.join("\n")
    };
    let damages: [(&str, String, &str); 9] = [
        ("images.csv", huge, "line 3: a row is longer"),
        ("images.csv", "path,label\n".to_string(), "names no image"),
        ("images.csv", "label,path\na,b\n".to_string(), "line 1"),
        ("images.csv", String::new(), "line 1"),
        ("images.csv", "path,label\na,b\n,b\n".to_string(), "line 3: the path is empty"),
        ("assignments.csv", second_cluster("48,0.5"), "line 3"),
        ("assignments.csv", second_cluster("1,NaN"), "line 3"),
        ("assignments.csv", second_cluster("1"), "line 3"),
        ("metrics.jsonl", "{}\n".to_string(), "line 1"),
    ];
    for (name, text, words) in damages {
        let path = finished.out.join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, &text).unwrap();
        let error = match name {
            "images.csv" => run.images().err(),
            "assignments.csv" => run.assignments().err(),
            _ => run.metrics().err(),
        };
        let message = error.unwrap().to_string();
        assert!(message.contains(words) && message.contains(name), "{message}");
        fs::write(&path, before).unwrap();
    }
}
