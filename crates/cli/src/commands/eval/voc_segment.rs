//! `deepcluster eval voc-segment`

use deepcluster::transfer::{SegmentationConfig, SegmentationDataset, SegmentationResult, segment_voc};
use serde_json::json;

use super::results::{percent, publish, table};
use super::voc_subject::VocSubject;
use crate::arguments::{EvalVocSegment, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: EvalVocSegment, output: Output) -> anyhow::Result<()> {
    let subject = VocSubject::load(&command.data, "voc-segment")?;
    let (root, train_set, test_set) = (&command.data.voc, &command.data.train_set, &command.data.test_set);
    let data = SegmentationDataset::open(root, train_set, test_set, command.void)?;
    let mut config = SegmentationConfig { long_side: command.long_side, ..SegmentationConfig::default() };
    command.tuning.apply(&mut config.layers, &mut config.sgd, &mut config.seed);
    let mut progress = Progress::new(output, stop_flag()?);
    let of_networks = subject.fine_tune(config.layers, &mut progress, |network, state, progress| {
        segment_voc(network, &data, &config, Some(state), progress)
    })?;
    let mut results = command.data.results("voc-segment", config, &of_networks);
    results["void"] = json!(command.void);
    publish(&subject.place, &results, &as_table(&of_networks), output, &progress)?;
    subject.remove_states()
}

/// A summary measure and its name.
type Measure = (&'static str, fn(&SegmentationResult) -> f64);

/// A row for each class and measure, a column for each network.
fn as_table(of_networks: &[(&str, SegmentationResult)]) -> String {
    let header = std::iter::once("intersection over union".to_string())
        .chain(of_networks.iter().map(|(name, _)| name.to_string()));
    let Some((_, first)) = of_networks.first() else { return String::new() };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (index, (class, _)) in first.classes.iter().enumerate() {
        let cells =
            of_networks.iter().map(|(_, result)| result.classes[index].1.map_or("-".to_string(), percent));
        rows.push(std::iter::once(class.clone()).chain(cells).collect());
    }
    let measures: [Measure; 3] = [
        ("mean", |result| result.mean_overlap),
        ("mean of the most frequent class everywhere", |result| result.majority_overlap),
        ("pixel accuracy", |result| result.pixel_accuracy),
    ];
    for (name, value) in measures {
        let cells = of_networks.iter().map(|(_, result)| percent(value(result)));
        rows.push(std::iter::once(name.to_string()).chain(cells).collect());
    }
    table(&header.collect::<Vec<String>>(), &rows)
}
