//! From a decoded image to the pixels a network sees.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::DataError;
use crate::random_crop::random_crop_box;
use crate::resize::{CropBox, Resampler, ResizedRegion};
use crate::rgb_image::RgbImage8;

/// Longest side of a crop and of the size an image is resized to, in pixels.
const MAX_SIDE: u32 = 16_384;

/// Statistics that pixels are normalised with, one for each of red, green and blue, for values in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Subtracted from each value.
    pub mean: [f32; 3],
    /// What the difference is divided by; greater than 0.
    pub std: [f32; 3],
}

impl Default for Normalization {
    /// The statistics of ImageNet, as in the original code.
    fn default() -> Self {
        Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

/// How an image becomes a square of normalised pixels, `[3, size, size]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transform {
    /// The central part, always the same: `Resize(resize)` and `CenterCrop(size)` of torchvision.
    Center {
        /// What the shorter side of the image is resized to, in pixels; at least `size`.
        resize: u32,
        /// Side of the square that is cut out of it, in pixels.
        size: u32,
        /// How values are normalised.
        normalization: Normalization,
    },
    /// A random part, mirrored or not: `RandomResizedCrop` and `RandomHorizontalFlip` of torchvision.
    RandomCrop {
        /// Side of the square the part is resized to, in pixels.
        size: u32,
        /// Least and greatest share of the image's area, within 0..=1.
        scale: (f32, f32),
        /// Least and greatest width divided by height.
        ratio: (f32, f32),
        /// Probability of mirroring left and right.
        flip_probability: f32,
        /// How values are normalised.
        normalization: Normalization,
    },
    /// A square at a random place of the centre, mirrored or not: `Resize(resize)`, `CenterCrop(resize)`,
    /// `RandomCrop(size)` and `RandomHorizontalFlip` of torchvision, as linear probes are trained.
    RandomPlace {
        /// What the shorter side of the image is resized to, in pixels; at least `size`.
        resize: u32,
        /// Side of the square, in pixels.
        size: u32,
        /// Probability of mirroring left and right.
        flip_probability: f32,
        /// How values are normalised.
        normalization: Normalization,
    },
    /// One of ten squares: the four corners and the centre, then the same mirrored; `Resize(resize)` and
    /// `TenCrop(size)` of torchvision. The last digit of the augmentation seed says which.
    OneOfTen {
        /// What the shorter side of the image is resized to, in pixels; at least `size`.
        resize: u32,
        /// Side of the squares, in pixels.
        size: u32,
        /// How values are normalised.
        normalization: Normalization,
    },
}

impl Transform {
    /// Side of the result in pixels.
    pub fn size(&self) -> u32 {
        match *self {
            Self::Center { size, .. }
            | Self::RandomCrop { size, .. }
            | Self::RandomPlace { size, .. }
            | Self::OneOfTen { size, .. } => size,
        }
    }

    /// Length of the result, `3 * size * size`.
    pub fn num_values(&self) -> usize {
        3 * self.size() as usize * self.size() as usize
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`DataError::InvalidConfig`] with the name of the first field that is out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        let size = self.size();
        check("size", size, (1..=MAX_SIDE).contains(&size), "1 to 16384")?;
        let normalization = match *self {
            Self::Center { resize, normalization, .. } | Self::OneOfTen { resize, normalization, .. } => {
                check("resize", resize, (size..=MAX_SIDE).contains(&resize), "size to 16384")?;
                normalization
            }
            Self::RandomPlace { resize, flip_probability, normalization, .. } => {
                check("resize", resize, (size..=MAX_SIDE).contains(&resize), "size to 16384")?;
                let sound = (0.0..=1.0).contains(&flip_probability);
                check("flip_probability", flip_probability, sound, "0 to 1")?;
                normalization
            }
            Self::RandomCrop { scale, ratio, flip_probability, normalization, .. } => {
                let sound = scale.0 > 0.0 && scale.0 <= scale.1 && scale.1 <= 1.0;
                check("scale", format_range(scale), sound, "0 < least <= greatest <= 1")?;
                let sound = ratio.0 > 0.0 && ratio.0 <= ratio.1 && ratio.1.is_finite();
                check("ratio", format_range(ratio), sound, "0 < least <= greatest")?;
                let sound = (0.0..=1.0).contains(&flip_probability);
                check("flip_probability", flip_probability, sound, "0 to 1")?;
                normalization
            }
        };
        let Normalization { mean, std } = normalization;
        let sound = mean.iter().all(|value| value.is_finite());
        check("normalization.mean", format!("{mean:?}"), sound, "finite numbers")?;
        let sound = std.iter().all(|value| value.is_normal() && *value > 0.0);
        check("normalization.std", format!("{std:?}"), sound, "finite numbers greater than 0")
    }

    /// Writes the transformed `image` into `out`, `[3, size, size]`. Random choices come from `augmentation_seed`
    /// alone; [`Transform::Center`] makes none, and [`Transform::OneOfTen`] takes its last digit.
    ///
    /// # Errors
    /// - [`DataError::InvalidConfig`]: a field is out of range.
    /// - [`DataError::InvalidImage`]: the image has no pixels, or too few for its size.
    /// - [`DataError::OutputLength`]: `out` does not have `3 * size * size` values.
    pub fn apply(&self, image: &RgbImage8, augmentation_seed: u64, out: &mut [f32]) -> Result<(), DataError> {
        self.validate()?;
        self.apply_with(&mut Resampler::default(), image, augmentation_seed, out)
    }

    /// As [`Transform::apply`] in buffers that are kept, for a transform that is known to be valid.
    pub(crate) fn apply_with(
        &self,
        resampler: &mut Resampler,
        image: &RgbImage8,
        augmentation_seed: u64,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        image.validate()?;
        if out.len() != self.num_values() {
            return Err(DataError::OutputLength { expected: self.num_values(), actual: out.len() });
        }
        match *self {
            Self::Center { resize, size, normalization } => {
                let wanted = central_region(image.width, image.height, resize, size);
                let pixels = resampler.resize_region(image, &wanted)?;
                write_normalized(pixels, size, false, normalization, out);
            }
            Self::RandomCrop { size, scale, ratio, flip_probability, normalization } => {
                let mut generator = ChaCha8Rng::seed_from_u64(augmentation_seed);
                let crop = random_crop_box(image.width, image.height, scale, ratio, &mut generator);
                let flip = generator.random::<f32>() < flip_probability;
                let pixels = resampler.resize_crop(image, crop, size, size)?;
                write_normalized(pixels, size, flip, normalization, out);
            }
            Self::RandomPlace { resize, size, flip_probability, normalization } => {
                let mut generator = ChaCha8Rng::seed_from_u64(augmentation_seed);
                let mut place = central_region(image.width, image.height, resize, resize);
                let room = resize - size;
                place.region.left += generator.random_range(0..=room);
                place.region.top += generator.random_range(0..=room);
                (place.region.width, place.region.height) = (size, size);
                let flip = generator.random::<f32>() < flip_probability;
                let pixels = resampler.resize_region(image, &place)?;
                write_normalized(pixels, size, flip, normalization, out);
            }
            Self::OneOfTen { resize, size, normalization } => {
                let number = augmentation_seed % 10;
                let mut place = central_region(image.width, image.height, resize, size);
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
                let pixels = resampler.resize_region(image, &place)?;
                write_normalized(pixels, size, number >= 5, normalization, out);
            }
        }
        Ok(())
    }
}

/// The central square of side `size` once the shorter side is resized to `resize`, with the rounding of torchvision.
fn central_region(width: u32, height: u32, resize: u32, size: u32) -> ResizedRegion {
    let (short, long) = (width.min(height), width.max(height));
    let resized_long = u64::from(resize) * u64::from(long) / u64::from(short);
    // Only an image of one pixel by millions gets to the bound; it is squeezed to it.
    let resized_long = u32::try_from(resized_long).unwrap_or(u32::MAX);
    let (resized_width, resized_height) =
        if width <= height { (resize, resized_long) } else { (resized_long, resize) };
    let start = |side: u32| (f64::from(side - size) / 2.0).round_ties_even() as u32;
    let (left, top) = (start(resized_width), start(resized_height));
    ResizedRegion { resized_width, resized_height, region: CropBox { left, top, width: size, height: size } }
}

/// Takes `[height, width, 3]` bytes to `[3, height, width]` normalised values.
pub(crate) fn write_normalized(
    pixels: &[u8],
    width: u32,
    flip: bool,
    normalization: Normalization,
    out: &mut [f32],
) {
    let side = width as usize;
    let Normalization { mean, std } = normalization;
    let num_pixels = out.len() / 3;
    for (channel, plane) in out.chunks_exact_mut(num_pixels).enumerate() {
        // (value / 255 - mean) / std
        let factor = 1.0 / (255.0 * std[channel]);
        let offset = -mean[channel] / std[channel];
        for (row, source) in plane.chunks_exact_mut(side).zip(pixels.chunks_exact(side * 3)) {
            let (source, _) = source.as_chunks::<3>();
            if flip {
                for (target, pixel) in row.iter_mut().zip(source.iter().rev()) {
                    *target = f32::from(pixel[channel]) * factor + offset;
                }
            } else {
                for (target, pixel) in row.iter_mut().zip(source) {
                    *target = f32::from(pixel[channel]) * factor + offset;
                }
            }
        }
    }
}

fn check(
    field: &'static str,
    value: impl ToString,
    sound: bool,
    allowed: &'static str,
) -> Result<(), DataError> {
    if sound { Ok(()) } else { Err(DataError::invalid_config(field, value, allowed)) }
}

fn format_range((least, greatest): (f32, f32)) -> String {
    format!("{least} to {greatest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_IS: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };

    fn random_crop() -> Transform {
        Transform::RandomCrop {
            size: 8,
            scale: (0.08, 1.0),
            ratio: (0.75, 4.0 / 3.0),
            flip_probability: 0.5,
            normalization: Normalization::default(),
        }
    }

    fn gradient(width: u32, height: u32) -> RgbImage8 {
        let pixel = |index: u32| [(index % width) as u8, (index / width) as u8, 7];
        RgbImage8 { width, height, pixels: (0..width * height).flat_map(pixel).collect() }
    }

    #[test]
    fn the_central_region_follows_torchvision() {
        let region = |width, height, resize, size| {
            let ResizedRegion { resized_width, resized_height, region } =
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

    /// Column and row of the first pixel of a crop of [`gradient`], whose red and green tell them.
    fn corner(transform: Transform, image: &RgbImage8, seed: u64) -> (u8, u8) {
        let mut out = vec![0.0; transform.num_values()];
        transform.apply(image, seed, &mut out).unwrap();
        let plane = out.len() / 3;
        ((out[0] * 255.0).round() as u8, (out[plane] * 255.0).round() as u8)
    }

    #[test]
    fn ten_crops_are_corners_and_centre_and_their_mirrors() {
        let image = gradient(20, 12);
        let transform = Transform::OneOfTen { resize: 12, size: 8, normalization: AS_IS };
        let corners: Vec<(u8, u8)> = (0..10).map(|number| corner(transform, &image, number)).collect();
        // Centre: (20 - 8) / 2 and (12 - 8) / 2; mirrored crops begin with their last column.
        assert_eq!(corners[..5], [(0, 0), (12, 0), (0, 4), (12, 4), (6, 2)]);
        assert_eq!(corners[5..], [(7, 0), (19, 0), (7, 4), (19, 4), (13, 2)]);
        let center = Transform::Center { resize: 12, size: 8, normalization: AS_IS };
        assert_eq!(corner(center, &image, 0), corners[4]);
    }

    #[test]
    fn random_places_lie_in_the_central_square_and_reach_all_of_it() {
        let image = gradient(20, 12);
        let transform =
            Transform::RandomPlace { resize: 12, size: 8, flip_probability: 0.0, normalization: AS_IS };
        let places: std::collections::BTreeSet<(u8, u8)> =
            (0..500).map(|seed| corner(transform, &image, seed)).collect();
        // The central square begins at column 4; there are 5 places in either direction.
        assert_eq!(places.len(), 25);
        assert!(places.iter().all(|&(left, top)| (4..=8).contains(&left) && top <= 4), "{places:?}");
        let mirrored =
            Transform::RandomPlace { resize: 12, size: 8, flip_probability: 1.0, normalization: AS_IS };
        assert_eq!(corner(mirrored, &image, 3).0, corner(transform, &image, 3).0 + 7);
    }

    #[test]
    fn pixels_are_normalised_into_three_planes() {
        let image = RgbImage8 { width: 2, height: 1, pixels: vec![255, 0, 51, 0, 255, 51] };
        let mut out = [0.0; 12];
        let image = RgbImage8 { height: 2, pixels: image.pixels.repeat(2), ..image };
        let normalization = Normalization { mean: [0.5, 0.0, 0.2], std: [0.5, 2.0, 0.1] };
        Transform::Center { resize: 2, size: 2, normalization }.apply(&image, 0, &mut out).unwrap();
        let expected = [1.0, -1.0, 1.0, -1.0, 0.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0];
        for (value, expected) in out.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn flipping_mirrors_each_row() {
        let image = gradient(4, 4);
        let crop = |flip_probability| {
            let mut out = vec![0.0; 48];
            let (scale, ratio, normalization) = ((1.0, 1.0), (1.0, 1.0), AS_IS);
            Transform::RandomCrop { size: 4, scale, ratio, flip_probability, normalization }
                .apply(&image, 3, &mut out)
                .unwrap();
            out
        };
        let (plain, flipped) = (crop(0.0), crop(1.0));
        assert_eq!(
            plain[..4].iter().map(|value| (value * 255.0).round()).collect::<Vec<_>>(),
            [0.0, 1.0, 2.0, 3.0]
        );
        for (row, mirrored) in plain.chunks_exact(4).zip(flipped.chunks_exact(4)) {
            assert!(row.iter().eq(mirrored.iter().rev()));
        }
    }

    #[test]
    fn the_seed_alone_decides_the_random_crop() {
        let image = gradient(60, 40);
        let crop = |seed| {
            let mut out = vec![0.0; random_crop().num_values()];
            random_crop().apply(&image, seed, &mut out).unwrap();
            out
        };
        assert_eq!(crop(5), crop(5));
        assert_ne!(crop(5), crop(6));
    }

    #[test]
    fn extreme_shapes_are_transformed() {
        for (width, height) in [(1, 1), (1, 5000), (5000, 1), (2, 3), (1, 1_000_000)] {
            let image = RgbImage8 { width, height, pixels: vec![51; (width * height * 3) as usize] };
            let center = Transform::Center { resize: 256, size: 224, normalization: AS_IS };
            let Transform::RandomCrop { scale, ratio, .. } = random_crop() else { panic!() };
            let (size, flip_probability, normalization) = (224, 0.5, AS_IS);
            let random = Transform::RandomCrop { size, scale, ratio, flip_probability, normalization };
            for transform in [center, random] {
                let mut out = vec![0.0; transform.num_values()];
                transform.apply(&image, 1, &mut out).unwrap();
                assert!(out.iter().all(|value| (value - 0.2).abs() < 1e-6), "{width} x {height}");
            }
        }
    }

    #[test]
    fn a_slice_of_another_length_is_an_error() {
        let error = random_crop().apply(&gradient(4, 4), 0, &mut [0.0; 9]).unwrap_err();
        assert!(matches!(error, DataError::OutputLength { expected: 192, actual: 9 }), "{error}");
    }

    #[test]
    fn every_field_out_of_range_is_named() {
        random_crop().validate().unwrap();
        let normal = Normalization::default();
        let crop = |size, scale, ratio, flip_probability, normalization| Transform::RandomCrop {
            size,
            scale,
            ratio,
            flip_probability,
            normalization,
        };
        let (scale, ratio) = ((0.08, 1.0), (0.75, 1.333));
        let center = |resize, size| Transform::Center { resize, size, normalization: normal };
        let cases = [
            ("size", center(4, 0)),
            ("size", center(u32::MAX, u32::MAX)),
            ("resize", center(3, 4)),
            ("scale", crop(8, (0.0, 1.0), ratio, 0.5, normal)),
            ("scale", crop(8, (0.5, 0.4), ratio, 0.5, normal)),
            ("scale", crop(8, (0.5, f32::NAN), ratio, 0.5, normal)),
            ("ratio", crop(8, scale, (f32::NAN, 1.0), 0.5, normal)),
            ("ratio", crop(8, scale, (1.0, f32::INFINITY), 0.5, normal)),
            ("flip_probability", crop(8, scale, ratio, f32::NAN, normal)),
            (
                "normalization.mean",
                crop(8, scale, ratio, 0.5, Normalization { mean: [f32::NAN; 3], ..normal }),
            ),
            (
                "normalization.std",
                crop(8, scale, ratio, 0.5, Normalization { std: [1.0, 0.0, 1.0], ..normal }),
            ),
        ];
        for (name, transform) in cases {
            let error = transform.validate().unwrap_err();
            assert!(
                matches!(error, DataError::InvalidConfig { field, .. } if field == name),
                "{name}: {error}"
            );
        }
    }
}
