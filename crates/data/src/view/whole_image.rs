//! Whole images of any size, and masks beside them.

use crate::decode::rgb_image::RgbImage8;
use crate::error::DataError;
use crate::view::normalize::{Normalization, append_normalized};
use crate::view::resize::resize;

use crate::voc::LabelMap;

/// A whole image as a network sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalizedImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `[3, height, width]`.
    pub values: Vec<f32>,
}

/// Resizes an image to `width x height`, mirrors it if asked, and normalises it.
///
/// # Errors
/// Those of [`resize`].
pub fn normalized_image(
    image: &RgbImage8,
    width: u32,
    height: u32,
    mirror: bool,
    normalization: Normalization,
) -> Result<NormalizedImage, DataError> {
    let resized = if (width, height) == (image.width, image.height) {
        image.validate()?;
        None
    } else {
        Some(resize(image, width, height)?)
    };
    let pixels = resized.as_ref().map_or(&image.pixels, |image| &image.pixels);
    let mut values = Vec::with_capacity(pixels.len());
    append_normalized(pixels, width, mirror, normalization, &mut values);
    Ok(NormalizedImage { width, height, values })
}

/// Resizes a mask to `width x height`, both at least 1: every pixel takes the class of the nearest one.
pub fn resize_labels(map: &LabelMap, width: u32, height: u32, mirror: bool) -> LabelMap {
    let nearest = |index: u32, from: u32, to: u32| {
        let centre = (f64::from(index) + 0.5) * f64::from(from) / f64::from(to);
        (centre as u32).min(from.saturating_sub(1)) as usize
    };
    let columns: Vec<usize> = (0..width)
        .map(|column| nearest(if mirror { width - 1 - column } else { column }, map.width, width))
        .collect();
    let mut labels = Vec::with_capacity(width as usize * height as usize);
    for row in 0..height {
        let start = nearest(row, map.height, height) * map.width as usize;
        labels.extend(columns.iter().map(|&column| map.labels[start + column]));
    }
    LabelMap { width, height, labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_IS: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };

    #[test]
    fn images_become_planes_and_mirror() {
        let image = RgbImage8 { width: 2, height: 1, pixels: vec![255, 0, 0, 0, 255, 255] };
        let plain = normalized_image(&image, 2, 1, false, AS_IS).unwrap();
        assert_eq!(plain.values, [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
        let mirrored = normalized_image(&image, 2, 1, true, AS_IS).unwrap();
        assert_eq!(mirrored.values, [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
        let larger = normalized_image(&image, 4, 3, false, AS_IS).unwrap();
        assert_eq!((larger.values.len(), larger.width, larger.height), (36, 4, 3));
        assert!(normalized_image(&image, 0, 1, false, AS_IS).is_err());
    }

    #[test]
    fn masks_take_the_nearest_class() {
        let map = LabelMap { width: 2, height: 2, labels: vec![1, 2, 3, 4] };
        let larger = resize_labels(&map, 4, 2, false);
        assert_eq!(larger.labels, [1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(resize_labels(&map, 2, 2, true).labels, [2, 1, 4, 3]);
        assert_eq!(resize_labels(&map, 1, 1, false).labels, [4]);
    }
}
