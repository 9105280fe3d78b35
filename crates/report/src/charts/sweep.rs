//! Scores by the number of clusters (figure 2c of the paper).

use std::path::{Path, PathBuf};

use deepcluster_files::Replaceable;
use deepcluster_transfer::SweepPoint;

use super::line_chart::{LineChart, Scale, Series};
use super::write::{cell, write_table_and_charts};
use crate::error::ReportError;

/// Name of the table of a sweep in its folder.
pub const SWEEP_TABLE: &str = "sweep.csv";

/// Charts over the numbers of clusters: the scores by layer, called `score_name`
/// ([`SweepTask::score_name`](deepcluster_transfer::SweepTask::score_name)), and the agreement with labels
/// where there are any.
pub fn sweep_charts(points: &[SweepPoint], score_name: &str) -> Vec<(&'static str, LineChart)> {
    let place = |point: &SweepPoint| point.num_clusters as f64;
    let layers: Vec<String> = points
        .first()
        .map(|point| point.scores.iter().map(|(layer, _)| layer.clone()).collect())
        .unwrap_or_default();
    let layer_series = |layer: &String| {
        let score =
            |point: &SweepPoint| point.scores.iter().find(|(name, _)| name == layer).map(|(_, score)| *score);
        Series {
            name: layer.clone(),
            points: points.iter().filter_map(|point| Some((place(point), score(point)?))).collect(),
        }
    };
    let chart = |title: &str, y_label: &str, series: Vec<Series>| LineChart {
        title: title.to_string(),
        x_label: "clusters".to_string(),
        y_label: y_label.to_string(),
        x_scale: Scale::Log10,
        series,
    };
    let scores = layers.iter().map(layer_series).collect();
    let mut charts = vec![("sweep-score", chart("Score by number of clusters", score_name, scores))];
    let agreement: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((place(point), point.nmi_to_labels?))).collect();
    if !agreement.is_empty() {
        let series = vec![Series { name: "NMI".to_string(), points: agreement }];
        let title = "Agreement of clusters and labels by number of clusters";
        charts.push(("sweep-nmi", chart(title, "NMI(clusters, labels)", series)));
    }
    charts
}

/// Writes [`sweep_charts`] to a folder as SVG and PNG, and `sweep.csv` with a row for each number of clusters
/// (`clusters`, `nmi_to_labels`, `nmi_to_previous`, `loss`, and a column for each layer's score), in place of
/// files that `replaceable` allows to replace. Returns the files.
///
/// # Errors
/// [`ReportError::Io`], [`ReportError::Plot`].
pub fn write_sweep(
    points: &[SweepPoint],
    score_name: &str,
    folder: &Path,
    replaceable: Replaceable,
) -> Result<Vec<PathBuf>, ReportError> {
    let layers = points.first().map(|point| point.scores.iter().map(|(layer, _)| layer.clone()));
    let header = ["clusters", "nmi_to_labels", "nmi_to_previous", "loss"].map(str::to_string);
    let mut rows = vec![header.into_iter().chain(layers.into_iter().flatten()).collect()];
    for point in points {
        let numbers = [point.nmi_to_labels, point.nmi_to_previous, point.loss].map(cell);
        let scores = point.scores.iter().map(|(_, score)| score.to_string());
        rows.push(std::iter::once(point.num_clusters.to_string()).chain(numbers).chain(scores).collect());
    }
    write_table_and_charts(folder, replaceable, SWEEP_TABLE, &rows, &sweep_charts(points, score_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_a_table_and_two_charts() {
        let point = |num_clusters, score| SweepPoint {
            num_clusters,
            nmi_to_labels: Some(0.5),
            nmi_to_previous: None,
            loss: Some(1.5),
            scores: vec![("conv1".to_string(), score), ("fc7".to_string(), 0.25)],
        };
        let folder = tempfile::tempdir().unwrap();
        let points = [point(4, 0.125), point(8, 0.5)];
        let files = write_sweep(&points, "top-1 accuracy", folder.path(), Replaceable::Own).unwrap();
        assert_eq!(files.len(), 5);
        let text = std::fs::read_to_string(&files[0]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "clusters,nmi_to_labels,nmi_to_previous,loss,conv1,fc7");
        assert_eq!(lines[1..], ["4,0.5,,1.5,0.125,0.25", "8,0.5,,1.5,0.5,0.25"]);
        let charts = sweep_charts(&points, "top-1 accuracy");
        assert_eq!(charts[0].1.series[0].points, [(4.0, 0.125), (8.0, 0.5)]);
        assert_eq!(charts[0].1.y_label, "top-1 accuracy");
    }
}
