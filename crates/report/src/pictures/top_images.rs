//! The images that each filter responds to most, and where (figures 4 and 5 of the paper).

use std::sync::Arc;

use crate::sheets::{ContactSheet, RgbImage, SheetCell, SheetColumns};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use deepcluster_data::Images;
use deepcluster_engine::{Observer, host_values};
use deepcluster_models::{Backbone, ConvNet, Input};
use deepcluster_trainer::TrainedNetwork;
use serde::Serialize;

use crate::error::ReportError;
use crate::pictures::filter_choice::layer_with_filters;
use crate::pictures::filter_pictures::FilterPicture;
use crate::pictures::shown_image::{placeholder, shown_image};

/// Side of a picture on a sheet, in pixels.
const CELL_SIZE: u32 = 112;
/// Share of the brightness that parts of an image keep where the filter does not respond.
const DIMMED: f32 = 0.35;

/// The value that images are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopScore {
    /// The mean of the filter's map after the ReLU, as in the original code: much of the pattern.
    Mean,
    /// Its maximum: the pattern once, but as clear as possible.
    Max,
}

/// Settings of [`top_images`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TopImageConfig {
    /// Images for each filter, at least 1; 9 in the paper.
    pub count: usize,
    /// The value that they are ranked by.
    pub score: TopScore,
}

impl Default for TopImageConfig {
    /// 9 images by the mean.
    fn default() -> Self {
        Self { count: 9, score: TopScore::Mean }
    }
}

/// An image that a filter responds to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopImage {
    /// Index of the image in its folder.
    pub image_index: usize,
    /// Mean or maximum of the filter's map.
    pub score: f32,
    /// Receptive field of the cell with the greatest response: left, top, right and bottom pixel of the
    /// square that the network sees, both ends included.
    pub region: [usize; 4],
    /// The filter's map, `map_side x map_side`, after the ReLU.
    #[serde(skip)]
    pub map: Vec<f32>,
}

/// The images that a filter responds to most, best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilterTop {
    /// Number of the filter, from 0.
    pub filter: usize,
    /// At most [`TopImageConfig::count`], and only images that it responds to at all; among equal ones the
    /// first of the folder.
    pub images: Vec<TopImage>,
}

/// Looks at every image of a folder, as features are computed, and gives for each of `filters` of the layer
/// `layer` the images that it responds to most.
///
/// # Errors
/// [`ReportError::InvalidConfig`], [`ReportError::UnknownLayer`], [`ReportError::NoSuchFilter`],
/// [`ReportError::Stopped`] on request of `observer`, [`ReportError::Trainer`] where the device fails.
pub fn top_images(
    trained: &TrainedNetwork<ConvNet>,
    images: &Arc<Images>,
    layer: &str,
    filters: &[usize],
    config: TopImageConfig,
    observer: &mut dyn Observer,
) -> Result<Vec<FilterTop>, ReportError> {
    if config.count == 0 {
        let (field, value, allowed) = ("count", "0".to_string(), "at least 1".to_string());
        return Err(ReportError::InvalidConfig { field, value, allowed });
    }
    let (network, reading) = (trained.network(), trained.reading());
    let index = layer_with_filters(network, layer, filters)?;
    let num_filters = network.num_filters(index);
    let loader = reading.loader(images.clone())?;
    let all: Vec<usize> = (0..images.len()).collect();
    let pass = reading.pass(&loader, &all, trained.device());
    let field = network.receptive_field(index);
    let mut tops: Vec<Vec<TopImage>> = vec![Vec::new(); filters.len()];
    let passed = pass.run(observer, |batch, image_indices| {
        let maps = relu(network.forward_filters(batch, index));
        let (scores, map_side) = scores(&maps, config.score)?;
        for (row, &image_index) in image_indices.iter().enumerate() {
            for (&filter, top) in filters.iter().zip(&mut tops) {
                let score = scores[row * num_filters + filter];
                let is_beaten =
                    top.len() == config.count && top.last().is_some_and(|least| least.score >= score);
                if score <= 0.0 || is_beaten {
                    continue;
                }
                let one = maps.clone().slice([row..row + 1, filter..filter + 1, 0..map_side, 0..map_side]);
                let map = host_values(one, "while reading maps")?;
                let best = first_of_most(&map);
                let spans = (
                    field.span(best % map_side, network.input().side),
                    field.span(best / map_side, network.input().side),
                );
                let ((left, right), (top_pixel, bottom)) = spans;
                let place = top.partition_point(|other| other.score >= score);
                top.insert(
                    place,
                    TopImage { image_index, score, region: [left, top_pixel, right, bottom], map },
                );
                top.truncate(config.count);
            }
        }
        Ok::<(), ReportError>(())
    })?;
    passed.ok_or(ReportError::Stopped)?;
    let filter_top = |(&filter, images)| FilterTop { filter, images };
    Ok(filters.iter().zip(tops).map(filter_top).collect())
}

/// A row for each filter: its picture, where there is one, and its images, dark where it responds with less
/// than half of its greatest response. The settings are those the images were looked at with.
///
/// # Errors
/// [`ReportError::Data`] where an image cannot be shown that could be read before.
pub fn top_image_sheet(
    layer: &str,
    input: &Input,
    images: &Images,
    tops: &[FilterTop],
    pictures: &[FilterPicture],
) -> Result<ContactSheet, ReportError> {
    let count = tops.iter().map(|top| top.images.len()).max().unwrap_or(0).max(1);
    let mut rows = Vec::with_capacity(tops.len());
    for top in tops {
        let mut row = Vec::with_capacity(count + 1);
        if !pictures.is_empty() {
            let picture = pictures.iter().find(|picture| picture.filter == top.filter);
            let picture = picture.map_or_else(|| placeholder(CELL_SIZE), |picture| picture.picture.clone());
            row.push(Some(SheetCell { picture, caption: format!("filter {}", top.filter), frame: None }));
        }
        for (rank, image) in top.images.iter().enumerate() {
            let mut picture = shown_image(images, image.image_index, input, CELL_SIZE)?;
            dim(&mut picture, &image.map);
            let caption = match rank {
                0 if pictures.is_empty() => format!("filter {}: {:.2}", top.filter, image.score),
                _ => format!("{:.2}", image.score),
            };
            row.push(Some(SheetCell { picture, caption, frame: None }));
        }
        rows.push(row);
    }
    let mut columns = Vec::new();
    if !pictures.is_empty() {
        columns.push(SheetColumns { heading: "found".to_string(), count: 1 });
    }
    let heading = "images it responds to most, and where".to_string();
    columns.push(SheetColumns { heading, count });
    Ok(ContactSheet {
        title: format!("{layer}: what its filters respond to"),
        columns,
        cell_size: CELL_SIZE,
        rows,
    })
}

/// The score of each image and filter, `[batch, filters]`, and the side of a map.
fn scores(maps: &Tensor<4>, score: TopScore) -> Result<(Vec<f32>, usize), ReportError> {
    let map_side = maps.dims()[3];
    let flat: Tensor<3> = maps.clone().flatten(2, 3);
    let scores = match score {
        TopScore::Mean => flat.mean_dim(2),
        TopScore::Max => flat.max_dim(2),
    };
    Ok((host_values(scores, "while computing maps")?, map_side))
}

fn first_of_most(values: &[f32]) -> usize {
    let better =
        |best: usize, (index, value): (usize, &f32)| if *value > values[best] { index } else { best };
    values.iter().enumerate().fold(0, better)
}

/// Darkens the pixels above which the map, between its cells by their distance, is less than half of its
/// maximum.
fn dim(picture: &mut RgbImage, map: &[f32]) {
    let side = map.len().isqrt();
    let most = map.iter().copied().fold(0.0, f32::max);
    let (width, height) = picture.dimensions();
    let place = |pixel: u32, length: u32| {
        let at = (pixel as f32 + 0.5) * side as f32 / length as f32 - 0.5;
        let at = at.clamp(0.0, side as f32 - 1.0);
        let before = at.floor() as usize;
        (before, (before + 1).min(side - 1), at - at.floor())
    };
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let ((left, right, across), (above, below, down)) = (place(x, width), place(y, height));
        let along = |row: usize| map[row * side + left] * (1.0 - across) + map[row * side + right] * across;
        let response = along(above) * (1.0 - down) + along(below) * down;
        if response < 0.5 * most {
            pixel.0 = pixel.0.map(|value| (f32::from(value) * DIMMED) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sheets::Rgb;
    use burn::tensor::Device;
    use deepcluster_models::{Architecture, ConvNetConfig};

    use deepcluster_trainer::TrainConfig;

    use super::*;

    struct Setup {
        trained: TrainedNetwork<ConvNet>,
        images: Arc<Images>,
        _folder: tempfile::TempDir,
    }

    /// Black images, each with a bright square of another size in a corner of its own.
    fn setup() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..6_u32 {
            let mut image = RgbImage::new(32, 32);
            let (left, top) = (if index.is_multiple_of(2) { 2 } else { 18 }, if index < 3 { 2 } else { 18 });
            for x in left..left + 4 + index {
                (top..top + 4 + index).for_each(|y| image.put_pixel(x, y, Rgb([255; 3])));
            }
            image.save(folder.path().join(format!("{index}.png"))).unwrap();
        }
        let mut settings = TrainConfig::default();
        settings.images.size = 32;
        settings.training.feature_batch_size = 4;
        let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
        let network = config.init(3, &Device::flex()).unwrap();
        let images = Arc::new(Images::open(folder.path()).unwrap());
        let trained = TrainedNetwork::from_network(settings, network, &Device::flex());
        Setup { trained, images, _folder: folder }
    }

    fn find(
        setup: &Setup,
        layer: &str,
        filters: &[usize],
        config: TopImageConfig,
    ) -> Result<Vec<FilterTop>, ReportError> {
        top_images(&setup.trained, &setup.images, layer, filters, config, &mut ())
    }

    #[test]
    fn the_best_images_are_found() {
        let setup = setup();
        for score in [TopScore::Mean, TopScore::Max] {
            let found = find(&setup, "conv2", &[5, 0], TopImageConfig { count: 3, score }).unwrap();
            let all = find(&setup, "conv2", &[0, 5], TopImageConfig { count: 99, score }).unwrap();
            assert_eq!((found[0].filter, found[1].filter), (5, 0));
            for (few, many) in [(&found[0], &all[1]), (&found[1], &all[0])] {
                assert_eq!(few.images[..], many.images[..3.min(many.images.len())]);
                assert!(many.images.is_sorted_by(|a, b| a.score >= b.score));
                assert!(many.images.len() > 1);
                for image in &many.images {
                    let mean = image.map.iter().sum::<f32>() / image.map.len() as f32;
                    let most = image.map.iter().copied().fold(0.0, f32::max);
                    let expected = if score == TopScore::Mean { mean } else { most };
                    assert!((image.score - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn regions_lie_where_the_image_is_not_black() {
        let setup = setup();
        let config = TopImageConfig { count: 6, score: TopScore::Max };
        let found = find(&setup, "conv1", &[0, 1, 2, 3], config).unwrap();
        let mut num_checked = 0;
        for image in found.iter().flat_map(|top| &top.images) {
            let index = image.image_index;
            let (left, top) = (if index.is_multiple_of(2) { 2 } else { 18 }, if index < 3 { 2 } else { 18 });
            let end = |start: usize| start + 4 + index;
            let [first_x, first_y, last_x, last_y] = image.region;
            // Its field overlaps the square, since there is nothing to respond to beyond.
            assert!(
                first_x <= end(left) && last_x + 1 >= left && first_y <= end(top) && last_y + 1 >= top,
                "{image:?}"
            );
            assert!(last_x < 32 && last_y < 32);
            num_checked += 1;
        }
        assert!(num_checked > 6);
    }

    #[test]
    fn sheets_show_filters_in_rows() {
        let setup = setup();
        let found = find(&setup, "conv3", &[1, 2], TopImageConfig::default()).unwrap();
        let sheet =
            top_image_sheet("conv3", &setup.trained.reading().input, &setup.images, &found, &[]).unwrap();
        assert_eq!(sheet.rows.len(), 2);
        assert_eq!(sheet.rows[0].len(), found[0].images.len());
        let picture =
            FilterPicture { filter: 2, picture: RgbImage::new(4, 4), response: 1.0, noise_response: 0.0 };
        let sheet =
            top_image_sheet("conv3", &setup.trained.reading().input, &setup.images, &found, &[picture])
                .unwrap();
        assert_eq!(
            sheet.columns.iter().map(|group| group.count).sum::<usize>(),
            1 + found[0].images.len().max(found[1].images.len())
        );
        assert_eq!(sheet.rows[1][0].as_ref().unwrap().picture.dimensions(), (4, 4));
        sheet.to_png().unwrap();
    }

    #[test]
    fn pictures_are_dark_where_filters_do_not_respond() {
        let mut picture = RgbImage::from_pixel(8, 8, Rgb([200; 3]));
        dim(&mut picture, &[0.0, 4.0, 0.0, 0.0]);
        assert_eq!(picture.get_pixel(7, 0).0, [200; 3]);
        assert_eq!(picture.get_pixel(0, 0).0, [70; 3]);
        assert_eq!(picture.get_pixel(7, 7).0, [70; 3]);
    }

    #[test]
    fn bad_requests_are_named() {
        let setup = setup();
        let none = TopImageConfig { count: 0, ..TopImageConfig::default() };
        assert!(find(&setup, "conv1", &[0], none).unwrap_err().to_string().contains("count = 0"));
        let error = find(&setup, "fc7", &[0], TopImageConfig::default()).unwrap_err();
        assert!(matches!(error, ReportError::UnknownLayer { .. }));
        let error = find(&setup, "conv1", &[99], TopImageConfig::default()).unwrap_err();
        assert!(matches!(error, ReportError::NoSuchFilter { last: 11, .. }));
    }
}
