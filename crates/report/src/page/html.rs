//! The page from its template.

use askama::Template;

use super::{MAX_SHOWN, Page, ReportConfig};
use crate::charts::{LineChart, PlotError, Scale, Series, training_charts};
use crate::error::ReportError;
use crate::summary::{Finding, grouped};
use deepcluster_trainer::EpochMetrics;

#[derive(Template)]
#[template(path = "report.html")]
struct ReportTemplate<'a> {
    title: String,
    findings: &'a [Finding],
    charts: Vec<String>,
    num_images: String,
    num_clusters: String,
    num_outliers: usize,
    num_duplicate_groups: String,
    duplicates_are_cut: bool,
    skipped: Vec<(String, String)>,
    num_skipped: usize,
    is_finished: bool,
    has_labels: bool,
    style: &'static str,
    script: &'static str,
    data: String,
}

impl Page<'_> {
    pub(super) fn html(&self, config: &ReportConfig, findings: &[Finding]) -> Result<String, ReportError> {
        let data = serde_json::to_string(&self.data())
            .map_err(|error| ReportError::Page { reason: error.to_string() })?;
        let skipped = &self.contents.skipped;
        let template = ReportTemplate {
            title: config.title.clone().unwrap_or_else(|| self.title()),
            findings,
            charts: self.charts()?,
            num_images: grouped(self.order.len()),
            num_clusters: grouped(self.cards.len()),
            num_outliers: self.outliers.len(),
            num_duplicate_groups: grouped(self.duplicates.len()),
            duplicates_are_cut: self.duplicates.len() > MAX_SHOWN,
            skipped: skipped
                .iter()
                .take(MAX_SHOWN)
                .map(|file| (file.path.to_string_lossy().into_owned(), file.reason.clone()))
                .collect(),
            num_skipped: skipped.len(),
            is_finished: self.contents.is_finished(),
            has_labels: self.contents.images.labels().is_some(),
            style: include_str!("../../templates/report.css"),
            script: include_str!("../../templates/report.js"),
            // In a script element nothing may look like its end.
            data: data.replace('<', "\\u003c"),
        };
        template.render().map_err(|error| ReportError::Page { reason: error.to_string() })
    }

    fn title(&self) -> String {
        self.contents.images.location().title()
    }

    /// The curves as SVG.
    fn charts(&self) -> Result<Vec<String>, ReportError> {
        let metrics = &self.contents.metrics;
        let run = [(self.title(), metrics.clone())];
        let mut charts: Vec<LineChart> = training_charts(&run).into_iter().map(|(_, chart)| chart).collect();
        charts.push(size_chart(metrics));
        let svg = |chart: &LineChart| match chart.to_svg() {
            Ok(svg) => Ok(Some(svg)),
            Err(PlotError::Empty { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
        charts.iter().filter_map(|chart| svg(chart).transpose()).collect()
    }
}

/// Sizes of clusters by epoch.
fn size_chart(metrics: &[EpochMetrics]) -> LineChart {
    let quantile = |name: &str, share: f64| {
        let point = |epoch: &EpochMetrics| {
            let mut sizes = epoch.cluster_sizes.clone();
            sizes.sort_unstable();
            let place = (sizes.len().saturating_sub(1) as f64 * share).round() as usize;
            Some((epoch.epoch as f64, *sizes.get(place)? as f64))
        };
        Series { name: name.to_string(), points: metrics.iter().filter_map(point).collect() }
    };
    LineChart {
        title: "Images in a cluster".to_string(),
        x_label: "epoch".to_string(),
        y_label: "images".to_string(),
        x_scale: Scale::Linear,
        series: vec![quantile("largest", 1.0), quantile("middle", 0.5), quantile("smallest", 0.0)],
    }
}
