//! `deepcluster sweep`

use anyhow::Context;
use deepcluster::data::{Images, LabelSource};
use deepcluster::evaluation::WeightedKnnConfig;
use deepcluster::report::charts::{SWEEP_TABLE, write_sweep};
use deepcluster::trainer::TrainConfig;
use deepcluster::transfer::{
    LabelledPair, LinearProbeConfig, Sweep as SweepRuns, SweepPoint, SweepTask, TransferError,
    VocClassificationConfig, VocDataset, sweep_clusters,
};
use deepcluster_files::ResultFolder;
use serde_json::json;

use crate::arguments::{Output, Sweep, SweepScore};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::{print_json, print_out};

pub(crate) fn run(command: Sweep, output: Output) -> anyhow::Result<()> {
    let replaceable = command.replacing.in_folder(Some(&command.out));
    // Refuse to replace other files before training, not after.
    ResultFolder::new(&command.out, replaceable)
        .check([SWEEP_TABLE])
        .with_context(|| format!("cannot write to {}", command.out.display()))?;
    let device = command.device.device()?;
    let base = command.settings.config()?;
    base.validate()?;
    let task = task(&command, &base)?;
    let images = Images::scan(&command.images, &base.scan_config())?;
    let stop = stop_flag()?;
    let mut progress = Progress::new(output, stop.clone());
    let say = Progress::new(output, stop);
    let mut finished = |point: &SweepPoint| {
        if output.json {
            print_json(&json!({"event": "point", "point": point}));
        } else {
            say.say(&describe(point));
        }
    };
    let sweep = SweepRuns { base, clusters: command.clusters, task };
    let points = sweep_clusters(&images, &sweep, &command.out, &device, &mut progress, &mut finished)?;
    progress.clear();
    let files = write_sweep(&points, sweep.task.score_name(), &command.out, replaceable)?;
    if output.json {
        print_json(&json!({"event": "finished", "files": files}));
    } else {
        files.iter().for_each(|file| print_out(&file.display().to_string()));
    }
    Ok(())
}

fn task(command: &Sweep, base: &TrainConfig) -> anyhow::Result<SweepTask> {
    let pair = || -> anyhow::Result<LabelledPair> {
        let train = command.train.as_ref().unwrap_or(&command.images);
        let test =
            command.test.as_ref().ok_or_else(|| missing("--test", "a folder of test images with labels"))?;
        let labels = match &base.images.labels {
            LabelSource::None => LabelSource::Auto,
            labels => labels.clone(),
        };
        Ok(LabelledPair::scan(train, test, &labels)?)
    };
    let seed = base.seed;
    Ok(match command.score {
        SweepScore::Knn => {
            let num_neighbors = vec![command.neighbors];
            SweepTask::Knn(pair()?, WeightedKnnConfig { num_neighbors, ..WeightedKnnConfig::default() })
        }
        SweepScore::Linear => {
            let epochs = command.linear_epochs;
            SweepTask::Linear(pair()?, LinearProbeConfig { epochs, seed, ..LinearProbeConfig::default() })
        }
        SweepScore::Voc => {
            let voc = command
                .voc
                .as_ref()
                .ok_or_else(|| missing("--voc", "a data set in the layout of PASCAL VOC"))?;
            let mut config = VocClassificationConfig { seed, ..VocClassificationConfig::default() };
            config.sgd.num_steps = command.voc_steps;
            SweepTask::VocClassification(VocDataset::open(voc, "trainval", "test")?, config)
        }
    })
}

/// An option that this score needs.
fn missing(field: &'static str, allowed: &str) -> TransferError {
    TransferError::InvalidConfig { field, value: "nothing".to_string(), allowed: allowed.to_string() }
}

fn describe(point: &SweepPoint) -> String {
    let mut line = format!("{} clusters", point.num_clusters);
    if let Some(nmi) = point.nmi_to_labels {
        line.push_str(&format!("  NMI to labels {nmi:.3}"));
    }
    for (layer, score) in &point.scores {
        line.push_str(&format!("  {layer} {:.1} %", 100.0 * score));
    }
    line
}
