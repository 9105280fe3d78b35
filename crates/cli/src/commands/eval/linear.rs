//! `deepcluster eval linear`

use anyhow::Context;
use deepcluster::trainer::TrainedNetwork;
use deepcluster::transfer::{LayerCurve, LinearProbe, LinearProbeConfig, train_with_labels};
use serde_json::{Value, json};

use super::results::{ResultsPlace, Subject, percent, publish, table};
use crate::arguments::{EvalLinear, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: EvalLinear, output: Output) -> anyhow::Result<()> {
    let mut subject = Subject::load(&command.data)?;
    let config = LinearProbeConfig {
        epochs: command.epochs,
        batch_size: command.batch_size,
        learning_rate: command.learning_rate,
        weight_decay: command.weight_decay,
        ten_crops: command.ten_crops,
        layers: command.data.layers.clone(),
        seed: command.seed,
        ..LinearProbeConfig::default()
    };
    let place = ResultsPlace::new(&command.data.results, &command.data.run, "linear")?;
    let folder = &place.folder;
    let mut progress = Progress::new(output, stop_flag()?);
    let with_labels = folder.join("labels-training.safetensors");
    if command.label_epochs > 0 {
        progress.say("training the same network with labels");
        let settings =
            subject.networks.last().map(|(_, network)| network.config().clone()).unwrap_or_default();
        let untrained = TrainedNetwork::untrained(settings, &subject.device)?;
        let network = train_with_labels(
            &untrained,
            &subject.data.train,
            subject.data.class_names.len(),
            command.label_epochs,
            Some(&with_labels),
            &mut progress,
        )?;
        subject.networks.push(("labels", network));
    }
    let mut of_networks: Vec<(&str, Vec<LayerCurve>)> = Vec::new();
    for (name, network) in &subject.networks {
        progress.say(&format!("linear classifiers on the {name} network"));
        let reading = network.reading();
        let probe =
            LinearProbe::new(network.network(), &reading, &subject.device, &subject.data, config.clone())?;
        let state = folder.join(format!("{name}.safetensors"));
        of_networks.push((*name, probe.run(Some(&state), &mut progress)?));
    }
    progress.clear();
    let results = json!({
        "protocol": "linear",
        "run": command.data.run.to_string_lossy(),
        "train": command.data.train.to_string_lossy(),
        "test": command.data.test.to_string_lossy(),
        "num_classes": subject.data.class_names.len(),
        "config": config,
        "label_epochs": command.label_epochs,
        "networks": of_networks.iter().map(|(name, curves)| describe(name, curves)).collect::<Vec<_>>(),
    });
    publish(&place, &results, &as_table(&of_networks), output, &progress)?;
    // No longer needed, and they would refuse other settings.
    let states = of_networks.iter().map(|(name, _)| folder.join(format!("{name}.safetensors")));
    for state in states.chain((command.label_epochs > 0).then_some(with_labels)) {
        std::fs::remove_file(&state).with_context(|| format!("cannot remove {}", state.display()))?;
    }
    Ok(())
}

fn describe(name: &str, curves: &[LayerCurve]) -> Value {
    let layers = curves.iter().map(|curve| {
        json!({
            "layer": curve.layer,
            "num_values": curve.num_values,
            "best": curve.best(),
            "last": curve.last(),
            "epochs": curve.epochs,
        })
    });
    json!({"network": name, "layers": layers.collect::<Vec<_>>()})
}

/// A row for each network and measure, a column for each layer.
fn as_table(of_networks: &[(&str, Vec<LayerCurve>)]) -> String {
    let layers = of_networks.first().map(|(_, curves)| curves.as_slice()).unwrap_or_default();
    let header: Vec<String> = ["network", "measure"]
        .into_iter()
        .map(str::to_string)
        .chain(layers.iter().map(|curve| curve.layer.clone()))
        .collect();
    let mut rows = Vec::new();
    for (name, curves) in of_networks {
        let mut row = |measure: &str, value: &dyn Fn(&LayerCurve) -> Option<f64>| {
            let cells = curves.iter().map(|curve| value(curve).map_or("-".to_string(), percent));
            rows.push([name.to_string(), measure.to_string()].into_iter().chain(cells).collect());
        };
        row("top-1, best epoch", &|curve| Some(curve.best()?.top1));
        row("top-1, last epoch", &|curve| Some(curve.last()?.top1));
        row("top-5, last epoch", &|curve| Some(curve.last()?.top5));
    }
    table(&header, &rows)
}
