//! `deepcluster top-images`

use std::sync::Arc;

use deepcluster::data::Images;
use deepcluster::report::pictures::{
    FilterTop, TopImageConfig, filter_pictures, top_image_sheet, top_images,
};
use deepcluster::trainer::{RunDirectory, TrainedNetwork};
use serde_json::json;

use super::sheets::SheetFolder;
use crate::arguments::{Output, TopImages};
use crate::interrupt::stop_flag;
use crate::progress::{Progress, csv_line};
use crate::stdout::{print_json, print_out};

/// Filters on a sheet.
const FILTERS_PER_SHEET: usize = 64;

pub(crate) fn run(command: TopImages, output: Output) -> anyhow::Result<()> {
    let device = command.device.device()?;
    let trained = TrainedNetwork::load(&RunDirectory::open(&command.run)?, &device)?;
    let trained = trained.convnet("top images of filters")?;
    let chosen = command.choice.resolve(trained.network())?;
    let ascent = command.ascent.config();
    ascent.validate()?;
    let config = TopImageConfig { count: command.count, score: command.score };
    let images = Arc::new(Images::open(&command.images)?);
    let names: Vec<String> =
        chosen.iter().flat_map(|(layer, filters)| sheet_names(layer, filters.len())).collect();
    let mut folder = SheetFolder::new(command.out.as_ref(), command.replacing, &command.run, &names)?;
    let mut progress = Progress::new(output, stop_flag()?);
    if !output.json {
        print_out("layer,filter,rank,path,score,left,top,right,bottom");
    }
    for (layer, filters) in &chosen {
        progress.say(&format!("{layer}: {} filters", filters.len()));
        let tops = top_images(&trained, &images, layer, filters, config, &mut progress)?;
        let pictures = if command.no_filter_pictures {
            Vec::new()
        } else {
            filter_pictures(&trained, layer, filters, &ascent, &mut progress)?
        };
        progress.clear();
        for (tops, name) in tops.chunks(FILTERS_PER_SHEET).zip(sheet_names(layer, tops.len())) {
            let sheet = top_image_sheet(layer, &trained.reading().input, &images, tops, &pictures)?;
            let path = folder.save(&name, &sheet)?;
            progress.say(&format!("the sheet is in {}", path.display()));
        }
        print_tops(layer, &images, &tops, output)?;
    }
    Ok(())
}

fn sheet_names(layer: &str, num_filters: usize) -> Vec<String> {
    let num_sheets = num_filters.div_ceil(FILTERS_PER_SHEET);
    let part = |number: usize| if num_sheets > 1 { format!("-{number}") } else { String::new() };
    (1..=num_sheets).map(|number| format!("top-images-{layer}{}.png", part(number))).collect()
}

/// A line for each filter and image.
fn print_tops(layer: &str, images: &Images, tops: &[FilterTop], output: Output) -> anyhow::Result<()> {
    for top in tops {
        for (index, image) in top.images.iter().enumerate() {
            let path = images.place(image.image_index);
            let (rank, [left, upper, right, lower]) = (index + 1, image.region);
            if output.json {
                print_json(&json!({
                    "layer": layer, "filter": top.filter, "rank": rank, "path": path, "score": image.score,
                    "region": image.region,
                }));
                continue;
            }
            let numbers = [left, upper, right, lower].map(|pixel| pixel.to_string());
            let (filter, rank, score) = (top.filter.to_string(), rank.to_string(), image.score.to_string());
            let mut fields: Vec<&str> = vec![layer, &filter, &rank, &path, &score];
            fields.extend(numbers.iter().map(String::as_str));
            print_out(&csv_line(&fields)?);
        }
    }
    Ok(())
}
