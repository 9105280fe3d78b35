//! The loop through the library: learning, stopping at any step, resuming, and using what was trained.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "training/own_networks.rs"]
mod own_networks;
#[path = "training/own_source.rs"]
mod own_source;
#[path = "training/run_directory.rs"]
mod run_directory;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use deepcluster::data::{SyntheticConfig, write_synthetic_folder};
use deepcluster::evaluation::{NmiNorm, nmi};
use deepcluster::models::Backbone;
use deepcluster::prelude::*;
use deepcluster::trainer::EngineError;
use deepcluster::trainer::TrainerError;

fn draw_images(folder: &Path, num_images: usize) -> Images {
    let drawings = SyntheticConfig { num_images, image_size: 32, seed: 3 };
    write_synthetic_folder(&folder.join("images"), &drawings, &mut |_| {}).unwrap();
    Images::open(folder.join("images")).unwrap()
}

fn tiny_config() -> TrainConfig {
    let mut config = TrainConfig { seed: 5, ..TrainConfig::default() };
    config.images.size = 32;
    config.network.width = 0.125;
    config.objective.clustering_mut().num_clusters = Some(12);
    config.objective.whitening_mut().num_components = 16;
    config.training.epochs = 2;
    config.training.batch_size = 24;
    config.training.knn_neighbors = 5;
    config
}

fn cpu() -> Device {
    parse_device("cpu").unwrap()
}

/// Asks to stop after a number of training steps.
struct StopAfter {
    steps_left: usize,
    in_training: bool,
}

impl TrainObserver for StopAfter {}

impl Observer for StopAfter {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { phase, .. } => self.in_training = phase.name == "training",
            Event::Progress { .. } if self.in_training => self.steps_left = self.steps_left.saturating_sub(1),
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        self.steps_left == 0
    }
}

#[test]
fn stopped_at_any_step_and_resumed_it_ends_in_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 96); // 4 steps per epoch
    let reference = folder.path().join("reference");
    Trainer::new(tiny_config(), images.clone(), &reference, &cpu()).unwrap().run(&mut ()).unwrap();
    for steps in 1..=8 {
        let out = folder.path().join(format!("stopped-after-{steps}"));
        let mut observer = StopAfter { steps_left: steps, in_training: false };
        let stopped = Trainer::new(tiny_config(), images.clone(), &out, &cpu()).unwrap().run(&mut observer);
        assert!(matches!(stopped, Err(TrainerError::Engine(EngineError::Stopped { .. }))), "{steps} steps");
        Trainer::resume(&out, &cpu(), |_| Ok(())).unwrap().run(&mut ()).unwrap();
        for name in ["metrics.jsonl", "assignments.csv", "model.safetensors", "features.safetensors"] {
            let read = |run: &Path| fs::read(run.join(name)).unwrap();
            assert!(read(&reference) == read(&out), "{name} differs after a stop at step {steps}");
        }
    }
}

#[test]
fn the_network_learns_its_pseudo_labels() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 240);
    let mut config = tiny_config();
    config.network.width = 0.25;
    config.network.dropout = 0.0;
    config.images.crop_scale_min = 0.6;
    config.training.epochs = 4;
    config.training.batch_size = 12;
    config.set("objective.epochs_per_clustering=6.0").unwrap();
    let out = folder.path().join("run");
    Trainer::new(config, images, &out, &cpu()).unwrap().run(&mut ()).unwrap();
    let epochs: Vec<EpochMetrics> = RunDirectory::open(&out).unwrap().metrics().unwrap();
    assert_eq!(epochs.len(), 5);
    let losses: Vec<f64> = epochs.iter().filter_map(|epoch| epoch.loss).collect();
    // ln 12 = 2.48 is chance, where a new head begins.
    assert!(losses[3] < losses[0] && losses[3] < 2.4, "{losses:?}");
    assert!(epochs.iter().all(|epoch| epoch.cluster_sizes.iter().sum::<usize>() == 240));
    assert!(epochs[0].knn_accuracy.is_some() && epochs[1].knn_accuracy.is_none());
}

#[test]
fn a_loaded_model_gives_the_clusters_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let images = Arc::new(draw_images(folder.path(), 96));
    let out = folder.path().join("run");
    let model = Trainer::new(tiny_config(), (*images).clone(), &out, &cpu()).unwrap().run(&mut ()).unwrap();
    let loaded = TrainedModel::load(&RunDirectory::open(&out).unwrap(), &cpu()).unwrap();
    let (direct, loaded) =
        (model.assign(&images, &mut ()).unwrap(), loaded.assign(&images, &mut ()).unwrap());
    assert_eq!((&direct.clusters, &direct.squared_distances), (&loaded.clusters, &loaded.squared_distances));
    let csv = fs::read_to_string(out.join("assignments.csv")).unwrap();
    let clusters = csv.lines().skip(1).map(|line| line.rsplit(',').nth(1).unwrap().parse::<u32>().unwrap());
    assert!(clusters.eq(direct.clusters));
}

#[test]
fn caches_change_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 96);
    let run = |name: &str, settings: &[&str]| {
        let mut config = tiny_config();
        settings.iter().for_each(|setting| config.set(setting).unwrap());
        let out = folder.path().join(name);
        Trainer::new(config, images.clone(), &out, &cpu()).unwrap().run(&mut ()).unwrap();
        // The model holds the settings too.
        ["metrics.jsonl", "assignments.csv", "features.safetensors"]
            .map(|file| fs::read(out.join(file)).unwrap())
    };
    let cache = folder.path().join("cache");
    let disk_cache = format!("images.disk_cache={}", cache.display());
    let plain = run("plain", &[]);
    assert!(plain == run("no-cache", &["images.cache_mib=0"]));
    // The second run finds the images of the first.
    for name in ["disk", "disk-again"] {
        assert!(plain == run(name, &["images.cache_mib=0", &disk_cache]), "{name}");
        // The images, and the sum of their bytes.
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 97);
    }
}

#[test]
fn features_kept_as_halves_give_nearly_the_same_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 240);
    let clusters = |feature_type: &str| {
        let mut config = tiny_config();
        config.training.epochs = 0;
        config.set(&format!("training.feature_type={feature_type}")).unwrap();
        let out = folder.path().join(feature_type);
        Trainer::new(config, images.clone(), &out, &cpu()).unwrap().run(&mut ()).unwrap();
        let csv = fs::read_to_string(out.join("assignments.csv")).unwrap();
        let cluster = |line: &str| line.rsplit(',').nth(1).unwrap().parse().unwrap();
        csv.lines().skip(1).map(cluster).collect::<Vec<u32>>()
    };
    let agreement = nmi(&clusters("f32"), &clusters("f16"), NmiNorm::Arithmetic).unwrap();
    assert!(agreement > 0.9, "{agreement}");
}

#[test]
fn one_epoch_at_a_time_is_the_same_as_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 96);
    let (whole, stepped) = (folder.path().join("whole"), folder.path().join("stepped"));
    Trainer::new(tiny_config(), images.clone(), &whole, &cpu()).unwrap().run(&mut ()).unwrap();
    let mut trainer = Trainer::new(tiny_config(), images, &stepped, &cpu()).unwrap();
    let first = trainer.step_epoch(&mut ()).unwrap();
    assert_eq!((first.epoch, trainer.epoch(), trainer.network().input().side), (0, 1, 32));
    trainer.run(&mut ()).unwrap();
    assert_eq!(
        fs::read(whole.join("metrics.jsonl")).unwrap(),
        fs::read(stepped.join("metrics.jsonl")).unwrap()
    );
}

#[test]
fn devices_beside_the_first_change_no_feature() {
    let folder = tempfile::tempdir().unwrap();
    draw_images(folder.path(), 95);
    fs::write(folder.path().join("images").join("broken.png"), b"no picture").unwrap();
    let images = Images::open(folder.path().join("images")).unwrap();
    let mut config = tiny_config();
    config.training.feature_batch_size = 10;
    let first_clusters = |others: usize| {
        let out = folder.path().join(format!("beside-{others}"));
        let trainer = Trainer::new(config.clone(), images.clone(), &out, &cpu()).unwrap();
        let metrics = trainer.train_beside(vec![cpu(); others]).step_epoch(&mut ()).unwrap();
        (metrics.inertia, metrics.num_images, fs::read(out.join("assignments.csv")).unwrap())
    };
    let alone = first_clusters(0);
    assert_eq!(alone.1, 95);
    for others in [1, 2, 12] {
        assert!(alone == first_clusters(others), "{others} devices beside the first");
    }
}

#[test]
fn labels_change_nothing_but_the_report() {
    let folder = tempfile::tempdir().unwrap();
    draw_images(folder.path(), 96);
    let run = |labels: &str| {
        let mut config = tiny_config();
        config.set(&format!("images.labels={labels}")).unwrap();
        let out = folder.path().join(labels);
        deepcluster::train(folder.path().join("images"), &out, config, &mut ()).unwrap();
        (fs::read(out.join("assignments.csv")).unwrap(), RunDirectory::open(&out).unwrap().metrics().unwrap())
    };
    let ((with, labelled), (without, unlabelled)) = (run("folders"), run("none"));
    assert!(with == without);
    assert!(labelled[0].labels.is_some() && unlabelled[0].labels.is_none());
}

#[test]
fn two_processes_cannot_train_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 24);
    let out = folder.path().join("run");
    let _first = Trainer::new(tiny_config(), images, &out, &cpu()).unwrap();
    let second = Trainer::resume(&out, &cpu(), |_| Ok(()));
    assert!(matches!(second.err(), Some(TrainerError::RunLocked { .. })));
}
