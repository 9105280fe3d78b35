//! `deepcluster filters`

use deepcluster::models::ConvNet;
use deepcluster::report::pictures::{
    FilterChoice, FilterPictureConfig, convolution_names, filter_pictures, filter_sheet, layer_index,
};
use deepcluster::trainer::{RunDirectory, TrainedNetwork};
use serde_json::json;

use super::sheets::SheetFolder;
use crate::arguments::{Ascent, Filters, LayerFilters, Output};
use crate::interrupt::stop_flag;
use crate::progress::Progress;
use crate::stdout::{print_json, print_out};

/// Filters of a layer shown by default.
const FIRST_FILTERS: usize = 16;

pub(crate) fn run(command: Filters, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let trained = TrainedNetwork::load(&RunDirectory::open(&command.run)?, &device)?;
    let trained = trained.convnet("pictures of filters")?;
    let chosen = command.choice.resolve(trained.network())?;
    let config = command.ascent.config();
    let names: Vec<String> = chosen.iter().map(|(layer, _)| sheet_name(layer)).collect();
    let mut folder = SheetFolder::new(command.out.as_ref(), command.replacing, &command.run, &names)?;
    let mut progress = Progress::new(output, stop_flag()?);
    if !output.json {
        print_out("layer,filter,response,noise_response");
    }
    for (layer, filters) in &chosen {
        progress.say(&format!("{layer}: {} filters", filters.len()));
        let pictures = filter_pictures(&trained, layer, filters, &config, &mut progress)?;
        progress.clear();
        let path = folder.save(&sheet_name(layer), &filter_sheet(layer, &pictures))?;
        progress.say(&format!("the sheet is in {}", path.display()));
        for picture in &pictures {
            let (filter, response, before) = (picture.filter, picture.response, picture.noise_response);
            if output.json {
                print_json(&json!({
                    "layer": layer, "filter": filter, "response": response, "noise_response": before,
                }));
            } else {
                print_out(&format!("{layer},{filter},{response},{before}"));
            }
        }
    }
    Ok(())
}

fn sheet_name(layer: &str) -> String {
    format!("filters-{layer}.png")
}

impl LayerFilters {
    /// The layers with the filters of each.
    pub(super) fn resolve(&self, network: &ConvNet) -> anyhow::Result<Vec<(String, Vec<usize>)>> {
        let layers = if self.layer.is_empty() { convolution_names(network) } else { self.layer.clone() };
        let filters = self.filter.clone().unwrap_or(FilterChoice::First(FIRST_FILTERS));
        let mut resolved = Vec::with_capacity(layers.len());
        for layer in layers {
            let num_filters = network.num_filters(layer_index(network, &layer)?);
            let filters = filters.resolve(&layer, num_filters)?;
            resolved.push((layer, filters));
        }
        Ok(resolved)
    }
}

impl Ascent {
    pub(super) fn config(&self) -> FilterPictureConfig {
        FilterPictureConfig {
            method: self.method,
            size: self.size,
            steps: self.steps,
            step_size: self.step_size,
            seed: self.seed,
            ..FilterPictureConfig::default()
        }
    }
}
