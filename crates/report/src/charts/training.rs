//! Curves over the epochs of runs (figures 2a and 2b of the paper).

use std::path::{Path, PathBuf};

use deepcluster_files::Replaceable;
use deepcluster_trainer::EpochMetrics;

use super::line_chart::{LineChart, Scale, Series};
use super::write::{cell, write_table_and_charts};
use crate::error::ReportError;

/// A curve of runs: the name of its files, its title, the label of its axis, and its value in an epoch.
type Curve = (&'static str, &'static str, &'static str, fn(&EpochMetrics) -> Option<f64>);

const CURVES: [Curve; 3] = [
    ("nmi-to-labels", "Agreement of clusters and labels", "NMI(clusters, labels)", |epoch| {
        epoch.labels.as_ref().map(|labels| labels.nmi_arithmetic)
    }),
    ("nmi-to-previous", "Agreement of clusters with those of the epoch before", "NMI(t - 1, t)", |epoch| {
        epoch.nmi_to_previous
    }),
    ("loss", "Loss of the pseudo-labels", "cross-entropy in nats", |epoch| epoch.loss),
];

/// Charts over the epochs of one or more runs, each with its name, and the name of their files: NMI to the
/// labels where there are labels (figure 2a), NMI to the epoch before (figure 2b), and the loss. A chart
/// without a number is left out.
pub fn training_charts(runs: &[(String, Vec<EpochMetrics>)]) -> Vec<(&'static str, LineChart)> {
    let chart = |&(name, title, y_label, value): &Curve| {
        let series = runs.iter().map(|(run, epochs)| Series {
            name: run.clone(),
            points: epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect(),
        });
        let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
        let (title, x_label, y_label) = (title.to_string(), "epoch".to_string(), y_label.to_string());
        let chart = LineChart { title, x_label, y_label, x_scale: Scale::Linear, series };
        (!chart.series.is_empty()).then_some((name, chart))
    };
    CURVES.iter().filter_map(chart).collect()
}

/// Writes [`training_charts`] to a folder as SVG and PNG, and `curves.csv` with a row for each run and epoch
/// (`run`, `epoch`, `nmi_to_labels`, `nmi_to_previous`, `loss`; empty without a number), in place of
/// files that `replaceable` allows to replace. Returns the files.
///
/// # Errors
/// [`ReportError::Io`], [`ReportError::Plot`].
pub fn write_curves(
    runs: &[(String, Vec<EpochMetrics>)],
    folder: &Path,
    replaceable: Replaceable,
) -> Result<Vec<PathBuf>, ReportError> {
    let header = ["run", "epoch", "nmi_to_labels", "nmi_to_previous", "loss"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    for (run, epochs) in runs {
        for epoch in epochs {
            let values = CURVES.iter().map(|(_, _, _, value)| cell(value(epoch)));
            rows.push([run.clone(), epoch.epoch.to_string()].into_iter().chain(values).collect());
        }
    }
    write_table_and_charts(folder, replaceable, "curves.csv", &rows, &training_charts(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: usize, nmi_to_previous: Option<f64>, loss: Option<f64>) -> EpochMetrics {
        EpochMetrics {
            epoch,
            loss,
            nmi_to_previous,
            labels: None,
            knn_accuracy: None,
            inertia: Some(1.0),
            num_clusters: 2,
            num_empty: 0,
            cluster_sizes: vec![3, 3],
            num_images: 6,
            num_samples: 6,
            num_components: 2,
            measures: Default::default(),
        }
    }

    #[test]
    fn curves_are_drawn_where_there_are_numbers() {
        let first =
            vec![epoch(0, None, Some(2.5)), epoch(1, Some(0.5), Some(2.0)), epoch(2, Some(0.75), None)];
        let runs = [("a, b".to_string(), first), ("c".to_string(), vec![epoch(0, None, Some(3.0))])];
        let charts = training_charts(&runs);
        let names: Vec<&str> = charts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["nmi-to-previous", "loss"]);
        assert_eq!(charts[0].1.series.len(), 1);
        assert_eq!(charts[0].1.series[0].points, [(1.0, 0.5), (2.0, 0.75)]);
        let folder = tempfile::tempdir().unwrap();
        let files = write_curves(&runs, &folder.path().join("new"), Replaceable::Own).unwrap();
        assert_eq!(files.len(), 5);
        assert!(files.iter().all(|file| file.exists()));
        let text = std::fs::read_to_string(&files[0]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "run,epoch,nmi_to_labels,nmi_to_previous,loss");
        assert_eq!(lines[2], "\"a, b\",1,,0.5,2");
        assert_eq!(lines.len(), 5);
    }
}
