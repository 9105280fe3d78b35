//! `deepcluster eval voc-classify`

use deepcluster::transfer::{
    LayerSvm, SvmConfig, VocClassificationConfig, VocDataset, classify_voc, svm_on_layers,
};

use super::results::{percent, publish, table};
use super::voc_subject::{VocSubject, average_precision_table};
use crate::arguments::{EvalVocClassify, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: EvalVocClassify, output: Output) -> anyhow::Result<()> {
    let protocol = if command.svm { "voc-svm" } else { "voc-classify" };
    let subject = VocSubject::load(&command.data, protocol)?;
    let data = VocDataset::open(&command.data.voc, &command.data.train_set, &command.data.test_set)?;
    let mut progress = Progress::new(output, stop_flag()?);
    if command.svm {
        let config =
            SvmConfig { layers: command.svm_layers, seed: command.tuning.seed, ..SvmConfig::default() };
        let mut of_networks: Vec<(&str, Vec<LayerSvm>)> = Vec::new();
        for (name, network) in &subject.networks {
            progress.say(&format!("linear SVMs on the {name} network"));
            let reading = network.reading();
            let layers =
                svm_on_layers(network.network(), &reading, &subject.device, &data, &config, &mut progress)?;
            of_networks.push((name, layers));
        }
        progress.clear();
        let results = command.data.results(protocol, config, &of_networks);
        return publish(&subject.place, &results, &svm_table(&of_networks), output, &progress);
    }
    let mut config = VocClassificationConfig {
        train_batch_norm: command.train_batch_norm,
        ten_crops: command.ten_crops,
        crop_scale: (command.min_scale, command.max_scale),
        ..VocClassificationConfig::default()
    };
    command.tuning.apply(&mut config.layers, &mut config.sgd, &mut config.seed);
    let of_networks = subject.fine_tune(config.layers, &mut progress, |network, state, progress| {
        classify_voc(network, &data, &config, Some(state), progress)
    })?;
    let results = command.data.results(protocol, config, &of_networks);
    let of_classes: Vec<_> =
        of_networks.iter().map(|(name, result)| (name.to_string(), &result.average_precision)).collect();
    publish(&subject.place, &results, &average_precision_table(&of_classes), output, &progress)?;
    subject.remove_states()
}

/// A row for each network and measure, a column for each layer.
fn svm_table(of_networks: &[(&str, Vec<LayerSvm>)]) -> String {
    let layers = of_networks.first().map(|(_, layers)| layers.as_slice()).unwrap_or_default();
    let header: Vec<String> = ["network", "measure"]
        .into_iter()
        .map(str::to_string)
        .chain(layers.iter().map(|svm| svm.layer.clone()))
        .collect();
    let mut rows = Vec::new();
    for (name, layers) in of_networks {
        let mut row = |measure: &str, value: &dyn Fn(&LayerSvm) -> f64| {
            let cells = layers.iter().map(|svm| percent(value(svm)));
            rows.push([name.to_string(), measure.to_string()].into_iter().chain(cells).collect());
        };
        row("11-point mAP", &|svm| svm.average_precision.eleven_point);
        row("area mAP", &|svm| svm.average_precision.area);
    }
    table(&header, &rows)
}
