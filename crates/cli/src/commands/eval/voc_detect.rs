//! `deepcluster eval voc-detect`

use deepcluster::transfer::proposals::{Proposals, SelectiveSearchConfig, read_proposals};
use deepcluster::transfer::{DetectionConfig, TransferError, VocDataset, detect_voc, find_proposals};

use super::results::{percent, publish};
use super::voc_subject::{VocSubject, average_precision_table};
use crate::arguments::{EvalVocDetect, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(command: EvalVocDetect, output: Output) -> anyhow::Result<()> {
    let subject = VocSubject::load(&command.data, "voc-detect")?;
    let data = VocDataset::open(&command.data.voc, &command.data.train_set, &command.data.test_set)?;
    let mut config = DetectionConfig {
        short_side: command.short_side,
        long_side: command.long_side,
        regions_per_image: command.regions,
        max_proposals: command.max_proposals,
        ..DetectionConfig::default()
    };
    command.tuning.apply(&mut config.layers, &mut config.sgd, &mut config.seed);
    config.validate()?;
    let mut progress = Progress::new(output, stop_flag()?);
    let proposals: Proposals = match &command.proposals {
        Some(path) => read_proposals(path).map_err(TransferError::from)?,
        None => {
            let search = SelectiveSearchConfig::default();
            let cache = subject.place.folder.join("proposals.csv");
            progress.say("selective search");
            find_proposals(&data, &search, Some(&cache), &mut progress)?
        }
    };
    let of_networks = subject.fine_tune(config.layers, &mut progress, |network, state, progress| {
        detect_voc(network, &data, &proposals, &config, Some(state), progress)
    })?;
    let results = command.data.results("voc-detect", config, &of_networks);
    let of_classes: Vec<_> =
        of_networks.iter().map(|(name, result)| (name.to_string(), &result.average_precision)).collect();
    let mut table = average_precision_table(&of_classes);
    if let Some((_, result)) = of_networks.first() {
        let quality = result.proposals;
        let recall = quality.recall.map_or("-".to_string(), percent);
        let number = quality.num_per_image;
        table.push_str(&format!("\n{number:.0} proposals per image cover {recall} of the objects.\n"));
    }
    publish(&subject.place, &results, &table, output, &progress)?;
    subject.remove_states()
}
