//! Progress for people on standard error, events for programs on standard output.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deepcluster::data::Images;
use deepcluster::trainer::{EpochMetrics, EpochOf, EpochTimings, Event, Observer, Phase, TrainObserver};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::advice::advice;
use crate::arguments::Output;
use crate::stdout::print_json;
use crate::terminal::print_line;

/// Shows the events of a run, as text or JSON.
pub(crate) struct Progress {
    output: Output,
    stop: Arc<AtomicBool>,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(output: Output, stop: Arc<AtomicBool>) -> Self {
        Self { output, stop, bar: None }
    }

    /// A line for people.
    pub(crate) fn say(&self, line: &str) {
        if self.output.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| print_line(line)),
            None => print_line(line),
        }
    }

    /// The summary of a scan that found more than images.
    pub(crate) fn say_found(&self, images: &Images) {
        if !images.summary().is_complete() {
            self.say(&images.summary().to_string());
        }
    }

    fn begin(&mut self, phase: Phase, epoch: Option<EpochOf>, total: usize) {
        self.clear();
        if self.output.quiet || self.output.json {
            return;
        }
        let place = epoch
            .filter(|epoch| epoch.num_epochs > 0)
            .map_or(String::new(), |epoch| format!("epoch {}/{} ", epoch.epoch, epoch.num_epochs));
        let Phase { name, unit } = phase;
        let template =
            format!("{{prefix}}{{bar:30}} {{pos}}/{{len}} {unit} {{per_sec}} left {{eta}} {{msg}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total as u64).with_style(style);
        bar.set_prefix(format!("{place}{name:<11}"));
        self.bar = Some(bar);
    }

    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl TrainObserver for Progress {
    fn epoch_finished(&mut self, metrics: &EpochMetrics, timings: &EpochTimings) {
        self.clear();
        if self.output.json {
            print_json(&json!({"event": "epoch", "metrics": metrics, "timings": timings}));
        } else {
            self.say(&epoch_line(metrics, timings));
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { phase, epoch, total } => self.begin(*phase, *epoch, *total),
            Event::Progress { done, loss } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*done as u64);
                    if let Some(loss) = loss {
                        bar.set_message(format!("loss {loss:.3}"));
                    }
                }
            }
            Event::Warning(warning) if !self.output.json => self.say(&format!("warning: {warning}")),
            _ => {}
        }
        if self.output.json
            && let Some(value) = event_json(event)
        {
            print_json(&value);
        }
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// An epoch in one line.
pub(crate) fn epoch_line(metrics: &EpochMetrics, timings: &EpochTimings) -> String {
    let mut line = format!("epoch {:>3}", metrics.epoch);
    match metrics.loss {
        Some(loss) => line.push_str(&format!("  loss {loss:.3}")),
        None => line.push_str("  (final clustering)"),
    }
    if let Some(nmi) = metrics.nmi_to_previous {
        line.push_str(&format!("  NMI to previous {nmi:.3}"));
    }
    if let Some(labels) = &metrics.labels {
        line.push_str(&format!("  NMI to labels {:.3}", labels.nmi_arithmetic));
    }
    if let Some(accuracy) = metrics.knn_accuracy {
        line.push_str(&format!("  nearest-neighbour accuracy {:.1} %", 100.0 * accuracy));
    }
    for (name, measure) in &metrics.measures {
        line.push_str(&format!("  {name} {measure:.3}"));
    }
    let sizes = &metrics.cluster_sizes;
    if let (Some(smallest), Some(largest)) = (sizes.iter().min(), sizes.iter().max()) {
        line.push_str(&format!("  cluster sizes {smallest}-{largest}"));
    }
    let seconds = timings.features_seconds
        + timings.whitening_seconds
        + timings.clustering_seconds
        + timings.training_seconds;
    line.push_str(&format!("  {seconds:.1} s"));
    line
}

fn event_json(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Started { phase, epoch, total } => {
            let epoch = epoch.map_or(0, |epoch| epoch.epoch);
            json!({"event": "phase", "phase": phase.name, "epoch": epoch, "total": total})
        }
        Event::Warning(warning) => json!({"event": "warning", "message": warning}),
        Event::Saved(path) => json!({"event": "checkpoint", "path": path.to_string_lossy()}),
        _ => return None,
    })
}

/// A line of a CSV file without its end.
pub(crate) fn csv_line(fields: &[&str]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    let line = String::from_utf8(writer.into_inner().map_err(|error| error.into_error())?)?;
    Ok(line.trim_end().to_string())
}

/// An error with its causes on standard error.
pub(crate) fn print_error(error: &anyhow::Error) {
    let advice = advice(error).map_or(String::new(), |advice| format!("; {advice}"));
    print_line(&format!("error: {}{advice}", with_causes(error)));
}

/// The message, and after it those of its causes that it does not repeat.
fn with_causes(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || std::io::Error::other("no space left");
        let told = anyhow::Error::new(cause()).context("cannot write a.csv: no space left");
        assert_eq!(with_causes(&told), "cannot write a.csv: no space left");
        let untold = anyhow::Error::new(cause()).context("cannot write a.csv");
        assert_eq!(with_causes(&untold), "cannot write a.csv: no space left");
    }
}
