//! From a decoded image to the pixels a network sees.

pub(crate) mod normalize;
pub(crate) mod part;
mod random_crop;
pub(crate) mod resize;
pub(crate) mod seen_square;
pub(crate) mod square;
pub(crate) mod whole_image;

use crate::error::DataError;
use crate::view::normalize::Normalization;

/// Longest side of a crop and of the size an image is resized to, in pixels.
const MAX_SIDE: u32 = 16_384;

/// How an image becomes a square of normalised pixels, `[3, size, size]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transform {
    /// The central part, always the same: `Resize(resize)` and `CenterCrop(size)` of torchvision.
    Center {
        /// Length of the shorter side after resizing, in pixels; at least `size`.
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
        /// Length of the shorter side after resizing, in pixels; at least `size`.
        resize: u32,
        /// Side of the square, in pixels.
        size: u32,
        /// Probability of mirroring left and right.
        flip_probability: f32,
        /// How values are normalised.
        normalization: Normalization,
    },
    /// One of ten squares: the four corners and the centre, then the same mirrored; `Resize(resize)` and
    /// `TenCrop(size)` of torchvision. [`Sample::crop`](crate::Sample::crop) is its number.
    OneOfTen {
        /// Length of the shorter side after resizing, in pixels; at least `size`.
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
        match *self {
            Self::Center { resize, .. } | Self::OneOfTen { resize, .. } => {
                check("resize", resize, (size..=MAX_SIDE).contains(&resize), "size to 16384")?;
            }
            Self::RandomPlace { resize, flip_probability, .. } => {
                check("resize", resize, (size..=MAX_SIDE).contains(&resize), "size to 16384")?;
                let sound = (0.0..=1.0).contains(&flip_probability);
                check("flip_probability", flip_probability, sound, "0 to 1")?;
            }
            Self::RandomCrop { scale, ratio, flip_probability, .. } => {
                let sound = scale.0 > 0.0 && scale.0 <= scale.1 && scale.1 <= 1.0;
                check("scale", format_range(scale), sound, "0 < least <= greatest <= 1")?;
                let sound = ratio.0 > 0.0 && ratio.0 <= ratio.1 && ratio.1.is_finite();
                check("ratio", format_range(ratio), sound, "0 < least <= greatest")?;
                let sound = (0.0..=1.0).contains(&flip_probability);
                check("flip_probability", flip_probability, sound, "0 to 1")?;
            }
        }
        let Normalization { mean, std } = self.normalization();
        let sound = mean.iter().all(|value| value.is_finite());
        check("normalization.mean", format!("{mean:?}"), sound, "finite numbers")?;
        let sound = std.iter().all(|value| value.is_normal() && *value > 0.0);
        check("normalization.std", format!("{std:?}"), sound, "finite numbers greater than 0")
    }

    /// How values are normalised.
    pub(crate) fn normalization(&self) -> Normalization {
        match *self {
            Self::Center { normalization, .. }
            | Self::RandomCrop { normalization, .. }
            | Self::RandomPlace { normalization, .. }
            | Self::OneOfTen { normalization, .. } => normalization,
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
    use crate::decode::rgb_image::RgbImage8;
    use crate::loader::Sample;

    fn seeded(augmentation_seed: u64) -> Sample {
        Sample { image_index: 0, augmentation_seed, crop: 0 }
    }

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

    /// Column and row of the first pixel of a crop of [`gradient`], whose red and green tell them.
    fn corner(transform: Transform, image: &RgbImage8, sample: Sample) -> (u8, u8) {
        let mut out = vec![0.0; transform.num_values()];
        transform.apply(image, sample, &mut out).unwrap();
        let plane = out.len() / 3;
        ((out[0] * 255.0).round() as u8, (out[plane] * 255.0).round() as u8)
    }

    #[test]
    fn ten_crops_are_corners_and_centre_and_their_mirrors() {
        let image = gradient(20, 12);
        let transform = Transform::OneOfTen { resize: 12, size: 8, normalization: AS_IS };
        let square = |crop, augmentation_seed| Sample { image_index: 0, augmentation_seed, crop };
        let corners: Vec<(u8, u8)> = (0..10).map(|crop| corner(transform, &image, square(crop, 0))).collect();
        // Centre: (20 - 8) / 2 and (12 - 8) / 2; mirrored crops begin with their last column.
        assert_eq!(corners[..5], [(0, 0), (12, 0), (0, 4), (12, 4), (6, 2)]);
        assert_eq!(corners[5..], [(7, 0), (19, 0), (7, 4), (19, 4), (13, 2)]);
        let center = Transform::Center { resize: 12, size: 8, normalization: AS_IS };
        assert_eq!(corner(center, &image, seeded(0)), corners[4]);
        // The seed has no say.
        assert!((0..20).all(|seed| corner(transform, &image, square(3, seed)) == corners[3]));
        let mut out = vec![0.0; transform.num_values()];
        let error = transform.apply(&image, square(10, 0), &mut out).unwrap_err().to_string();
        assert!(error.contains("crop = 10") && error.contains("0 to 9"), "{error}");
    }

    #[test]
    fn random_places_lie_in_the_central_square_and_reach_all_of_it() {
        let image = gradient(20, 12);
        let transform =
            Transform::RandomPlace { resize: 12, size: 8, flip_probability: 0.0, normalization: AS_IS };
        let places: std::collections::BTreeSet<(u8, u8)> =
            (0..500).map(|seed| corner(transform, &image, seeded(seed))).collect();
        // The central square begins at column 4; there are 5 places in either direction.
        assert_eq!(places.len(), 25);
        assert!(places.iter().all(|&(left, top)| (4..=8).contains(&left) && top <= 4), "{places:?}");
        let mirrored =
            Transform::RandomPlace { resize: 12, size: 8, flip_probability: 1.0, normalization: AS_IS };
        assert_eq!(corner(mirrored, &image, seeded(3)).0, corner(transform, &image, seeded(3)).0 + 7);
    }

    #[test]
    fn pixels_are_normalised_into_three_planes() {
        let image = RgbImage8 { width: 2, height: 1, pixels: vec![255, 0, 51, 0, 255, 51] };
        let mut out = [0.0; 12];
        let image = RgbImage8 { height: 2, pixels: image.pixels.repeat(2), ..image };
        let normalization = Normalization { mean: [0.5, 0.0, 0.2], std: [0.5, 2.0, 0.1] };
        Transform::Center { resize: 2, size: 2, normalization }.apply(&image, seeded(0), &mut out).unwrap();
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
                .apply(&image, seeded(3), &mut out)
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
            random_crop().apply(&image, seeded(seed), &mut out).unwrap();
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
                transform.apply(&image, seeded(1), &mut out).unwrap();
                assert!(out.iter().all(|value| (value - 0.2).abs() < 1e-6), "{width} x {height}");
            }
        }
    }

    #[test]
    fn a_slice_of_another_length_is_an_error() {
        let error = random_crop().apply(&gradient(4, 4), seeded(0), &mut [0.0; 9]).unwrap_err();
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
