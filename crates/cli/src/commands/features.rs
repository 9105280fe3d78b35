//! `deepcluster features`

use std::sync::Arc;

use deepcluster::data::{Images, LabelSource, ScanConfig};
use deepcluster::models::LayerId;
use deepcluster::trainer::TrainerError;
use deepcluster::trainer::{RunDirectory, TrainedModel, TrainedNetwork};
use serde_json::json;

use crate::arguments::{Features, LayerName, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::print_json;
use crate::usage_error::UsageError;

pub(crate) fn run(command: Features, output: Output) -> anyhow::Result<()> {
    let list = command.out.with_extension("csv");
    if let Some(path) = [&command.out, &list].into_iter().find(|path| path.symlink_metadata().is_ok())
        && !command.force
    {
        let message = format!(
            "{} exists already: replace it with --force, or name another file with --out",
            path.display()
        );
        return Err(UsageError(message).into());
    }
    let device = command.device.device()?;
    let run = RunDirectory::open(&command.run)?;
    let feature_type = command.dtype;
    let mut progress = Progress::new(output, stop_flag()?);
    let scan = || {
        let config = ScanConfig { labels: LabelSource::None };
        let images = Images::scan(&command.images, &config)?;
        progress.say_found(&images);
        Ok::<_, TrainerError>(Arc::new(images))
    };
    let (images, written) = if command.layer == LayerName::Whitened {
        let model = TrainedModel::load(&run, &device)?;
        let Some(whitening) = &model.clusters().whitening else {
            let message =
                format!("the clusters of {} have no whitening: use --layer fc7", command.run.display());
            return Err(UsageError(message).into());
        };
        let images = scan()?;
        let (network, layer) = (model.trained_network(), LayerId::Features);
        let whitening = Some(whitening);
        let written =
            network.write_features(&images, layer, whitening, &command.out, feature_type, &mut progress)?;
        (images, written)
    } else {
        let network = TrainedNetwork::load(&run, &device)?;
        let images = scan()?;
        let layer = match command.layer {
            LayerName::Convolutions => match LayerId::last_maps(network.network()) {
                LayerId::Features => {
                    let message =
                        format!("the network of {} has no maps: use --layer fc7", command.run.display());
                    return Err(UsageError(message).into());
                }
                maps => maps,
            },
            LayerName::Fc7 | LayerName::Whitened => LayerId::Features,
        };
        let written =
            network.write_features(&images, layer, None, &command.out, feature_type, &mut progress)?;
        (images, written)
    };
    progress.clear();
    for skipped in images.skipped() {
        progress.say(&format!("skipped {}: {}", skipped.path.display(), skipped.reason));
    }
    for (image_index, reason) in &written.failures {
        progress.say(&format!("skipped {}: {reason}", images.place(*image_index)));
    }
    if output.json {
        print_json(&json!({
            "features": command.out.to_string_lossy(),
            "list": written.list.to_string_lossy(),
            "rows": written.num_rows,
            "columns": written.feature_dim,
        }));
    }
    progress.say(&format!(
        "features of {} images, {} values each, in {}; paths in {}",
        written.num_rows,
        written.feature_dim,
        command.out.display(),
        written.list.display()
    ));
    Ok(())
}
