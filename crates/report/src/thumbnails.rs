//! Small pictures of all images, on sheets.

use deepcluster_data::{DEFAULT_MAX_PIXELS, Images, RgbImage8, resize, seen_side, seen_square};
use deepcluster_engine::{Event, Observer, Phase};
use deepcluster_models::Input;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;

use crate::error::ReportError;
use crate::sheets::{Rgb, RgbImage};

/// Thumbnails in a row and in a column of a sheet.
pub(crate) const SHEET_SIDE: usize = 16;
const PER_SHEET: usize = SHEET_SIDE * SHEET_SIDE;
/// 1 to 100.
const JPEG_QUALITY: u8 = 82;
/// Side in pixels of the images compared for near-duplicates.
pub(crate) const GLANCE_SIDE: usize = 16;

/// An image at a glance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Glance {
    /// `[GLANCE_SIDE, GLANCE_SIDE, 3]`.
    pub(crate) pixels: Vec<u8>,
    /// Standard deviation of the pixels.
    pub(crate) contrast: f32,
}

impl Glance {
    /// `image` has the size of a glance.
    pub(crate) fn new(image: &RgbImage) -> Self {
        let pixels = image.as_raw().clone();
        let number = pixels.len().max(1) as f32;
        let mean = pixels.iter().map(|&value| f32::from(value)).sum::<f32>() / number;
        let squares: f32 = pixels.iter().map(|&value| (f32::from(value) - mean).powi(2)).sum();
        Self { contrast: (squares / number).sqrt(), pixels }
    }
}

/// Glances at all images.
pub(crate) struct LookedAt {
    /// Glance at each image, in the order of the folder; `None` where it can no longer be read.
    pub(crate) glances: Vec<Option<Glance>>,
    /// Number of images that can no longer be read.
    pub(crate) num_lost: usize,
}

/// Makes sheets of the squares that the network sees of the images, in the order `order`, and hands each to
/// `sink` with its number: a JPEG of [`SHEET_SIDE`] thumbnails in either direction, row by row. Thumbnails
/// have at most `thumbnail_size` pixels in a direction, and no more than the image has.
pub(crate) fn make_thumbnails(
    images: &Images,
    input: &Input,
    order: &[usize],
    thumbnail_size: u32,
    observer: &mut dyn Observer,
    sink: &mut dyn FnMut(usize, Vec<u8>) -> Result<(), ReportError>,
) -> Result<LookedAt, ReportError> {
    let phase = Phase::images("thumbnails");
    observer.event(&Event::Started { phase, epoch: None, total: order.len() });
    let mut glances = vec![None; images.len()];
    let mut done = 0;
    for (number, chunk) in order.chunks(PER_SHEET).enumerate() {
        if observer.should_stop() {
            return Err(ReportError::Stopped);
        }
        let look = |&image: &usize| look_at(images, image, input, thumbnail_size);
        let looked: Vec<Option<(RgbImage, Glance)>> = chunk.par_iter().map(look).collect();
        let cell_size = looked.iter().flatten().map(|(thumbnail, _)| thumbnail.width()).max().unwrap_or(1);
        sink(
            number,
            sheet(looked.iter().map(|looked| looked.as_ref().map(|(thumbnail, _)| thumbnail)), cell_size)?,
        )?;
        for (&image, looked) in chunk.iter().zip(looked) {
            glances[image] = looked.map(|(_, glance)| glance);
        }
        done += chunk.len();
        observer.event(&Event::Progress { done, loss: None });
    }
    let num_lost = glances.iter().filter(|glance| glance.is_none()).count();
    Ok(LookedAt { glances, num_lost })
}

/// A thumbnail and a glance, unless the image cannot be read any more.
fn look_at(images: &Images, image: usize, input: &Input, thumbnail_size: u32) -> Option<(RgbImage, Glance)> {
    let image = images.decode(image, DEFAULT_MAX_PIXELS).ok()?;
    let (shorter, size) = (input.resize, input.side as u32);
    let side = seen_side(image.width, image.height, shorter, size).min(thumbnail_size);
    let thumbnail = seen_square(&image, shorter, size, side).ok()?;
    let glance = resize(&thumbnail, GLANCE_SIDE as u32, GLANCE_SIDE as u32).ok()?;
    Some((as_image(thumbnail)?, Glance::new(&as_image(glance)?)))
}

fn as_image(image: RgbImage8) -> Option<RgbImage> {
    RgbImage::from_raw(image.width, image.height, image.pixels)
}

fn sheet<'a>(
    thumbnails: impl Iterator<Item = Option<&'a RgbImage>>,
    cell_size: u32,
) -> Result<Vec<u8>, ReportError> {
    let side = SHEET_SIDE as u32 * cell_size;
    let mut sheet = RgbImage::from_pixel(side, side, Rgb([128; 3]));
    for (place, thumbnail) in thumbnails.enumerate() {
        let Some(thumbnail) = thumbnail else { continue };
        let (row, column) = ((place / SHEET_SIDE) as u32, (place % SHEET_SIDE) as u32);
        let grown = if thumbnail.width() == cell_size {
            thumbnail.clone()
        } else {
            image::imageops::resize(thumbnail, cell_size, cell_size, image::imageops::FilterType::Nearest)
        };
        image::imageops::replace(
            &mut sheet,
            &grown,
            i64::from(column * cell_size),
            i64::from(row * cell_size),
        );
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .write_image(sheet.as_raw(), side, side, ExtendedColorType::Rgb8)
        .map_err(|error| ReportError::Page { reason: format!("thumbnails: {error}") })?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use deepcluster_trainer::TrainConfig;

    use super::*;

    #[test]
    fn images_lie_on_their_sheets() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..300_u32 {
            let color = [(index % 250) as u8, 100, (index / 250 * 90) as u8];
            RgbImage::from_pixel(24, 40, Rgb(color))
                .save(folder.path().join(format!("{index:03}.png")))
                .unwrap();
        }
        std::fs::write(folder.path().join("007.png"), "gone").unwrap();
        let images = Images::open(folder.path()).unwrap();
        let mut settings = TrainConfig::default();
        settings.images.size = 32;
        let order: Vec<usize> = (0..300).rev().collect();
        let mut sheets: Vec<RgbImage> = Vec::new();
        let looked =
            make_thumbnails(&images, &settings.input(), &order, 96, &mut (), &mut |number, sheet| {
                assert_eq!(number, sheets.len());
                sheets.push(image::load_from_memory(&sheet).unwrap().to_rgb8());
                Ok(())
            });
        let looked = looked.unwrap();
        assert_eq!((sheets.len(), looked.num_lost), (2, 1));
        assert!(looked.glances[7].is_none() && looked.glances[8].as_ref().unwrap().contrast > 0.0);
        // The network sees 32 of 36 pixels of the shorter side, of 24 are 21 left.
        let cell_size = 24 * 32 / settings.images.resize();
        assert!(sheets.iter().all(|sheet| sheet.width() == SHEET_SIDE as u32 * cell_size));
        let pixel = |position: usize| {
            let sheet = &sheets[position / PER_SHEET];
            let place = position % PER_SHEET;
            let centre = |cell: usize| cell as u32 * cell_size + cell_size / 2;
            sheet.get_pixel(centre(place % SHEET_SIDE), centre(place / SHEET_SIDE)).0
        };
        for position in [0, 17, 255, 256, 290] {
            let index = 299 - position as u32;
            let expected = [(index % 250) as u8, 100, (index / 250 * 90) as u8];
            let found = pixel(position);
            assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 12), "{position}: {found:?}");
        }
        assert!(pixel(292).iter().all(|value| value.abs_diff(128) < 6));
    }

    #[test]
    fn thumbnails_are_no_larger_than_asked() {
        let folder = tempfile::tempdir().unwrap();
        RgbImage::from_pixel(300, 300, Rgb([1, 2, 3])).save(folder.path().join("a.png")).unwrap();
        RgbImage::from_pixel(30, 300, Rgb([1, 2, 3])).save(folder.path().join("b.png")).unwrap();
        let images = Images::open(folder.path()).unwrap();
        let mut sizes = Vec::new();
        let mut sink = |_, sheet: Vec<u8>| {
            sizes.push(image::load_from_memory(&sheet).unwrap().width() / SHEET_SIDE as u32);
            Ok(())
        };
        make_thumbnails(&images, &TrainConfig::default().input(), &[0, 1], 64, &mut (), &mut sink).unwrap();
        assert_eq!(sizes, [64]);
    }
}
