//! The part of an image that a transform shows.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::decode::rgb_image::RgbImage8;
use crate::error::DataError;
use crate::loader::Sample;
use crate::view::Transform;
use crate::view::normalize::append_normalized;
use crate::view::random_crop::random_crop_box;
use crate::view::resize::{CropBox, Resampler, ResizedRegion, with_shorter_side};
use crate::view::square::Square;

impl Transform {
    /// Writes the transformed `image` into `out`, `[3, size, size]`. Random choices come from the
    /// augmentation seed of `sample` alone; [`Transform::Center`] makes none, and [`Transform::OneOfTen`]
    /// takes the number of the sample's square. The index of the sample's image is not used.
    ///
    /// # Errors
    /// - [`DataError::InvalidConfig`]: a field is out of range.
    /// - [`DataError::InvalidImage`]: the image has no pixels, or too few for its size.
    /// - [`DataError::OutputLength`]: `out` does not have `3 * size * size` values.
    pub fn apply(&self, image: &RgbImage8, sample: Sample, out: &mut [f32]) -> Result<(), DataError> {
        self.validate()?;
        sample.validate()?;
        image.validate()?;
        if out.len() != self.num_values() {
            return Err(DataError::OutputLength { expected: self.num_values(), actual: out.len() });
        }
        let part = Part::choose(self, image.width, image.height, sample);
        let Square { pixels, flip } = part.cut_out(&mut Resampler::default(), image)?;
        let mut values = Vec::with_capacity(out.len());
        append_normalized(&pixels, self.size(), flip, self.normalization(), &mut values);
        out.copy_from_slice(&values);
        Ok(())
    }
}

/// The part of an image that becomes a square.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    source: Source,
    /// Whether left and right change places.
    flip: bool,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// A box that is resized to `size x size`; pixels outside it do not count.
    Crop { crop: CropBox, size: u32 },
    /// A square of the resized image.
    Region(ResizedRegion),
}

impl Part {
    /// The part that a valid transform shows of an image of `width x height`, both at least 1, for a valid
    /// sample.
    pub(crate) fn choose(transform: &Transform, width: u32, height: u32, sample: Sample) -> Self {
        let Sample { augmentation_seed, crop: number, .. } = sample;
        match *transform {
            Transform::Center { resize, size, .. } => {
                Self { source: Source::Region(central_region(width, height, resize, size)), flip: false }
            }
            Transform::RandomCrop { size, scale, ratio, flip_probability, .. } => {
                let mut generator = ChaCha8Rng::seed_from_u64(augmentation_seed);
                let crop = random_crop_box(width, height, scale, ratio, &mut generator);
                let flip = generator.random::<f32>() < flip_probability;
                Self { source: Source::Crop { crop, size }, flip }
            }
            Transform::RandomPlace { resize, size, flip_probability, .. } => {
                let mut generator = ChaCha8Rng::seed_from_u64(augmentation_seed);
                let mut place = central_region(width, height, resize, resize);
                let room = resize - size;
                place.region.left += generator.random_range(0..=room);
                place.region.top += generator.random_range(0..=room);
                (place.region.width, place.region.height) = (size, size);
                let flip = generator.random::<f32>() < flip_probability;
                Self { source: Source::Region(place), flip }
            }
            Transform::OneOfTen { resize, size, .. } => {
                let mut place = central_region(width, height, resize, size);
                let (right, bottom) = (place.resized_width - size, place.resized_height - size);
                let corner = match number % 5 {
                    0 => Some((0, 0)),
                    1 => Some((right, 0)),
                    2 => Some((0, bottom)),
                    3 => Some((right, bottom)),
                    _ => None,
                };
                if let Some((left, top)) = corner {
                    (place.region.left, place.region.top) = (left, top);
                }
                Self { source: Source::Region(place), flip: number >= 5 }
            }
        }
    }

    /// Cuts the part out of `image`.
    pub(crate) fn cut_out(&self, resampler: &mut Resampler, image: &RgbImage8) -> Result<Square, DataError> {
        let pixels = match self.source {
            Source::Crop { crop, size } => resampler.resize_crop(image, crop, size, size)?,
            Source::Region(region) => resampler.resize_region(image, &region)?,
        };
        Ok(Square { pixels, flip: self.flip })
    }
}

/// The central square of side `size` once the shorter side is resized to `resize`, with the rounding of
/// torchvision.
fn central_region(width: u32, height: u32, resize: u32, size: u32) -> ResizedRegion {
    let (resized_width, resized_height) = with_shorter_side(width, height, resize);
    let start = |side: u32| (f64::from(side - size) / 2.0).round_ties_even() as u32;
    let (left, top) = (start(resized_width), start(resized_height));
    ResizedRegion {
        width,
        height,
        resized_width,
        resized_height,
        region: CropBox { left, top, width: size, height: size },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_central_region_follows_torchvision() {
        let region = |width, height, resize, size| {
            let ResizedRegion { resized_width, resized_height, region, .. } =
                central_region(width, height, resize, size);
            (resized_width, resized_height, region.left, region.top)
        };
        // int(256 * 500 / 375) = 341; (341 - 224) / 2 = 58.5, rounded to even 58; (256 - 224) / 2 = 16
        assert_eq!(region(500, 375, 256, 224), (341, 256, 58, 16));
        assert_eq!(region(375, 500, 256, 224), (256, 341, 16, 58));
        // (227 - 224) / 2 = 1.5, rounded to even 2
        assert_eq!(region(227, 224, 224, 224), (227, 224, 2, 0));
        assert_eq!(region(1, 5000, 256, 224), (256, 1_280_000, 16, 639_888));
    }
}
