//! `deepcluster eval clusters`

use std::sync::Arc;

use deepcluster::data::{LabelSource, Location, ScanConfig};
use deepcluster::trainer::{RunDirectory, TrainedModel};
use deepcluster::transfer::{ClusterReport, cluster_report};
use serde_json::json;

use super::results::{ResultsPlace, percent, publish, table};
use crate::arguments::{EvalClusters, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::usage_error::UsageError;

pub(crate) fn run(command: EvalClusters, output: Output) -> anyhow::Result<()> {
    let place = ResultsPlace::new(&command.results, &command.run, "clusters")?;
    let device = command.device.device()?;
    let run = RunDirectory::open(&command.run)?;
    let model = TrainedModel::load(&run, &device)?;
    let folder = match &command.images {
        Some(folder) => Location::from(folder),
        None => run.location()?,
    };
    let scan = ScanConfig { labels: LabelSource::from(command.labels.clone()) };
    let images = Arc::new(folder.open(&scan)?);
    let Some(labels) = images.labels() else {
        let message = format!("the images in {folder} have no labels");
        return Err(UsageError(message).into());
    };
    let mut progress = Progress::new(output, stop_flag()?);
    let assigned = model.assign(&images, &mut progress)?;
    progress.clear();
    for (image_index, reason) in &assigned.failures {
        progress.say(&format!("skipped {}: {reason}", images.place(*image_index)));
    }
    let of_rows: Vec<Option<u32>> =
        assigned.image_indices.iter().map(|&image| labels.of_image[image]).collect();
    if of_rows.iter().all(Option::is_none) {
        let message = format!("none of the images in {folder} has a label");
        return Err(UsageError(message).into());
    }
    let report = cluster_report(&assigned.clusters, &of_rows, &labels.names)?;
    let results = json!({
        "protocol": "clusters",
        "run": command.run.to_string_lossy(),
        "images": folder.to_string(),
        "num_clusters": model.clusters().centroids.nrows(),
        "report": report,
    });
    publish(&place, &results, &as_table(&report), output, &progress)
}

fn as_table(report: &ClusterReport) -> String {
    let agreement = &report.agreement;
    let measures = [
        ("images with a label", agreement.num_labelled.to_string()),
        ("NMI, arithmetic", format!("{:.3}", agreement.nmi_arithmetic)),
        ("NMI, geometric", format!("{:.3}", agreement.nmi_geometric)),
        ("adjusted Rand index", format!("{:.3}", agreement.adjusted_rand_index)),
        ("purity", format!("{:.3}", agreement.purity)),
        ("accuracy, one cluster per class", percent(report.accuracy)),
        ("accuracy, clusters named by majority", percent(report.majority_accuracy)),
    ];
    let rows: Vec<Vec<String>> =
        measures.map(|(name, value)| vec![name.to_string(), value]).into_iter().collect();
    let mut text = table(&["measure".to_string(), "value".to_string()], &rows);
    text.push_str("\nImages of each class, by the most frequent class of the cluster they are in:\n\n");
    let header = ["class", "images", "clusters"].map(str::to_string).into_iter();
    let header: Vec<String> = header.chain(report.classes.iter().map(|class| class.class.clone())).collect();
    let rows: Vec<Vec<String>> = report
        .classes
        .iter()
        .map(|class| {
            let head = [class.class.clone(), class.num_images.to_string(), class.num_clusters.to_string()];
            head.into_iter().chain(class.in_clusters_of.iter().map(u64::to_string)).collect()
        })
        .collect();
    text.push_str(&table(&header, &rows));
    text
}
