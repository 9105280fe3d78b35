//! `deepcluster demo`

use anyhow::{Context, bail};
use deepcluster::data::{Images, LabelSource, SYNTHETIC_KINDS, SyntheticConfig, write_synthetic_folder};
use deepcluster::trainer::{
    DeepClusterConfig, EpochMetrics, ObjectiveConfig, RunDirectory, TrainConfig, begin_run,
};
use serde_json::json;

use crate::arguments::{Demo, Output};
use crate::commands::train::train;
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::{print_json, print_out};
use crate::usage_error::UsageError;

const NUM_IMAGES: usize = 3_000;
const IMAGE_SIZE: u32 = 32;
const NUM_EPOCHS: usize = 10;

pub(crate) fn run(command: Demo, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let mut progress = Progress::new(output, stop_flag()?);
    if command.out.exists() {
        let message =
            format!("{} exists already: remove it, or name another folder with --out", command.out.display());
        return Err(UsageError(message).into());
    }
    let (folder, run) = (command.out.join("images"), command.out.join("run"));
    progress.say(&format!(
        "drawing {NUM_IMAGES} images of {} kinds under {}",
        SYNTHETIC_KINDS.len(),
        folder.display()
    ));
    let drawings = SyntheticConfig { num_images: NUM_IMAGES, image_size: IMAGE_SIZE, seed: command.seed };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write_synthetic_folder(&folder, &drawings, &mut |_| {})?;

    let config = demo_config(command.seed);
    let images = Images::scan(&folder, &config.scan_config())?;
    train(begin_run(config, images, &run, &[device])?, &mut progress, output)?;
    print_gain(&RunDirectory::open(&run)?.metrics()?, output)
}

/// The recipe of the paper, scaled down to a few thousand small images and a few minutes: a narrower network,
/// fewer components, which are all that so few images determine, and more and smaller steps between two
/// clusterings.
fn demo_config(seed: u64) -> TrainConfig {
    let mut learning =
        DeepClusterConfig { epochs_per_clustering: 2.0, learning_rate: 0.02, ..DeepClusterConfig::default() };
    learning.clustering.num_clusters = Some(10 * SYNTHETIC_KINDS.len());
    learning.whitening.num_components = 64;
    let objective = ObjectiveConfig::DeepCluster(learning);
    let mut config = TrainConfig { seed, objective, ..TrainConfig::default() };
    config.images.size = IMAGE_SIZE as usize;
    config.images.labels = LabelSource::Folders;
    config.images.crop_scale_min = 0.3;
    config.network.width = 0.5;
    config.training.epochs = NUM_EPOCHS;
    config.training.batch_size = 32;
    config
}

fn print_gain(metrics: &[EpochMetrics], output: Output) -> anyhow::Result<()> {
    let (first, last) = metrics.first().zip(metrics.last()).context("the run has no epochs")?;
    let nmi = |epoch: &EpochMetrics| epoch.labels.map(|labels| labels.nmi_arithmetic);
    let gain = [nmi(first), nmi(last), first.knn_accuracy, last.knn_accuracy];
    let [Some(nmi_before), Some(nmi_after), Some(accuracy_before), Some(accuracy_after)] = gain else {
        bail!("the labels of the drawn images were not found");
    };
    if output.json {
        print_json(&json!({
            "event": "gain",
            "nmi": {"untrained": nmi_before, "trained": nmi_after},
            "nearest_neighbor_accuracy": {"untrained": accuracy_before, "trained": accuracy_after},
        }));
        return Ok(());
    }
    print_out("");
    print_out("                                     untrained  trained");
    print_out(&format!("NMI of the clusters to the kinds     {nmi_before:>9.3}  {nmi_after:>7.3}"));
    print_out(&format!(
        "nearest neighbours of the same kind  {:>7.1} %  {:>5.1} %",
        100.0 * accuracy_before,
        100.0 * accuracy_after
    ));
    Ok(())
}
