//! `deepcluster eval knn`

use deepcluster::evaluation::WeightedKnnConfig;
use deepcluster::transfer::{LayerKnn, knn_on_layers};
use serde_json::json;

use super::results::{ResultsPlace, Subject, percent, publish, table};
use crate::arguments::{EvalKnn, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: EvalKnn, output: Output) -> anyhow::Result<()> {
    let place = ResultsPlace::new(&command.data.results, &command.data.run, "knn")?;
    let subject = Subject::load(&command.data)?;
    let config =
        WeightedKnnConfig { num_neighbors: command.neighbors.clone(), temperature: command.temperature };
    let mut progress = Progress::new(output, stop_flag()?);
    let mut of_networks: Vec<(&str, Vec<LayerKnn>)> = Vec::new();
    for (name, network) in &subject.networks {
        progress.say(&format!("nearest neighbours by the {name} network"));
        let found = knn_on_layers(
            network.network(),
            &network.reading(),
            &subject.device,
            &subject.data,
            &command.data.layers,
            &config,
            &mut progress,
        )?;
        of_networks.push((*name, found));
    }
    progress.clear();
    let results = json!({
        "protocol": "knn",
        "run": command.data.run.to_string_lossy(),
        "train": command.data.train.to_string_lossy(),
        "test": command.data.test.to_string_lossy(),
        "num_classes": subject.data.class_names.len(),
        "temperature": command.temperature,
        "networks": of_networks
            .iter()
            .map(|(name, layers)| json!({"network": name, "layers": layers}))
            .collect::<Vec<_>>(),
    });
    publish(&place, &results, &as_table(&of_networks), output, &progress)
}

/// A row for each network and number of neighbours, a column for each layer.
fn as_table(of_networks: &[(&str, Vec<LayerKnn>)]) -> String {
    let layers = of_networks.first().map(|(_, layers)| layers.as_slice()).unwrap_or_default();
    let header: Vec<String> = ["network", "neighbours", "measure"]
        .into_iter()
        .map(str::to_string)
        .chain(layers.iter().map(|knn| knn.layer.clone()))
        .collect();
    let mut rows = Vec::new();
    for (name, layers) in of_networks {
        let num_rows = layers.first().map_or(0, |knn| knn.accuracies.len());
        for index in 0..num_rows {
            let num_neighbors = layers[0].accuracies[index].num_neighbors.to_string();
            for (measure, is_top1) in [("top-1", true), ("top-5", false)] {
                let cells = layers.iter().map(|knn| {
                    let accuracy = knn.accuracies[index];
                    percent(if is_top1 { accuracy.top1 } else { accuracy.top5 })
                });
                let head = [name.to_string(), num_neighbors.clone(), measure.to_string()];
                rows.push(head.into_iter().chain(cells).collect());
            }
        }
    }
    table(&header, &rows)
}
