//! Antialiased bilinear resizing that agrees with Pillow's `Image.resize(.., BILINEAR)`.
//!
//! When shrinking, the triangle filter is widened by the scale, so that every source pixel counts. Values are
//! 8-bit between the two passes, as in Pillow; the passes run in the other order, so single values differ by
//! at most 2 of 255.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ImageView, ResizeAlg, ResizeOptions, Resizer};

use crate::decode::rgb_image::RgbImage8;
use crate::error::DataError;

/// A rectangle of whole pixels within an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropBox {
    /// First column, from 0.
    pub left: u32,
    /// First row, from 0.
    pub top: u32,
    /// Number of columns, at least 1.
    pub width: u32,
    /// Number of rows, at least 1.
    pub height: u32,
}

impl CropBox {
    /// The box that covers a whole image.
    pub fn whole(image: &RgbImage8) -> Self {
        Self { left: 0, top: 0, width: image.width, height: image.height }
    }

    fn check_within(&self, image: &RgbImage8) -> Result<(), DataError> {
        let fits = |start: u32, length: u32, bound: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= bound)
        };
        if fits(self.left, self.width, image.width) && fits(self.top, self.height, image.height) {
            return Ok(());
        }
        Err(DataError::CropOutside {
            left: self.left,
            top: self.top,
            crop_width: self.width,
            crop_height: self.height,
            width: image.width,
            height: image.height,
        })
    }
}

/// Resizes a whole image to `width x height`, both at least 1.
///
/// # Errors
/// [`DataError::InvalidImage`] for an image without pixels, [`DataError::Resize`] for an empty target.
pub fn resize(image: &RgbImage8, width: u32, height: u32) -> Result<RgbImage8, DataError> {
    resize_crop(image, CropBox::whole(image), width, height)
}

/// The whole image with its shorter side of `side` pixels, at least 1, and the longer one in proportion,
/// rounded down.
pub(crate) fn shrink(image: &RgbImage8, side: u32) -> Result<RgbImage8, DataError> {
    let (width, height) = with_shorter_side(image.width, image.height, side);
    resize(image, width, height)
}

/// The size of an image of `width x height` once its shorter side is `side`, with the rounding of
/// torchvision.
pub(crate) fn with_shorter_side(width: u32, height: u32, side: u32) -> (u32, u32) {
    let (short, long) = (width.min(height).max(1), width.max(height));
    let long = u64::from(side) * u64::from(long) / u64::from(short);
    // Only an image of one pixel by millions gets to the bound; it is squeezed to it.
    let long = u32::try_from(long).unwrap_or(u32::MAX);
    if width <= height { (side, long) } else { (long, side) }
}

/// Cuts out `crop` and resizes it, as `img.crop(box).resize(size)` in Pillow: pixels outside the box do not
/// count.
///
/// # Errors
/// Those of [`resize`], and [`DataError::CropOutside`] for an empty box or one that leaves the image.
pub fn resize_crop(
    image: &RgbImage8,
    crop: CropBox,
    width: u32,
    height: u32,
) -> Result<RgbImage8, DataError> {
    let mut resampler = Resampler::default();
    let pixels = resampler.resize_crop(image, crop, width, height)?;
    Ok(RgbImage8 { width, height, pixels })
}

/// A region of the image as it would be after resizing; only this region is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResizedRegion {
    /// Size of the whole image.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Size it would be resized to.
    pub(crate) resized_width: u32,
    pub(crate) resized_height: u32,
    /// The part of it that is wanted.
    pub(crate) region: CropBox,
}

/// Start and length in an image of `size` pixels of what becomes `length` pixels from `start` on once it is
/// resized.
fn source_range(start: u32, length: u32, size: u32, resized: u32) -> (f64, f64) {
    let scale = f64::from(size) / f64::from(resized);
    let start = f64::from(start) * scale;
    // Rounding must not push the range over the edge.
    (start, (f64::from(length) * scale).min(f64::from(size) - start))
}

/// Resizes one image after another in buffers that are kept.
#[derive(Default)]
pub(crate) struct Resampler {
    resizer: Resizer,
}

impl Resampler {
    /// As the free function; `[height, width, 3]`.
    pub(crate) fn resize_crop(
        &mut self,
        image: &RgbImage8,
        crop: CropBox,
        width: u32,
        height: u32,
    ) -> Result<Vec<u8>, DataError> {
        image.validate()?;
        crop.check_within(image)?;
        let failed = resize_failure(width, height);
        let source = view(image)?;
        let source = TypedCroppedImage::from_ref(&source, crop.left, crop.top, crop.width, crop.height)
            .map_err(|error| failed(error.to_string()))?;
        self.resample(&source, width, height, &bilinear())
    }

    /// The region that is wanted of `image`; no other part is computed.
    pub(crate) fn resize_region(
        &mut self,
        image: &RgbImage8,
        wanted: &ResizedRegion,
    ) -> Result<Vec<u8>, DataError> {
        image.validate()?;
        let ResizedRegion { width, height, resized_width, resized_height, region } = *wanted;
        let (left, width) = source_range(region.left, region.width, width, resized_width);
        let (top, height) = source_range(region.top, region.height, height, resized_height);
        let options = bilinear().crop(left, top, width, height);
        let source = view(image)?;
        self.resample(&source, region.width, region.height, &options)
    }

    fn resample(
        &mut self,
        source: &impl ImageView<Pixel = U8x3>,
        width: u32,
        height: u32,
        options: &ResizeOptions,
    ) -> Result<Vec<u8>, DataError> {
        let failed = resize_failure(width, height);
        let num_bytes =
            (width as usize).checked_mul(height as usize).and_then(|pixels| pixels.checked_mul(3));
        let num_bytes =
            num_bytes.filter(|&bytes| bytes > 0).ok_or_else(|| failed("the target is empty".into()))?;
        let mut pixels = vec![0; num_bytes];
        let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut pixels)
            .map_err(|error| failed(error.to_string()))?;
        self.resizer.resize_typed(source, &mut target, options).map_err(|error| failed(error.to_string()))?;
        Ok(pixels)
    }
}

fn bilinear() -> ResizeOptions {
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false)
}

fn view(image: &RgbImage8) -> Result<TypedImageRef<'_, U8x3>, DataError> {
    TypedImageRef::from_buffer(image.width, image.height, &image.pixels)
        .map_err(|error| resize_failure(image.width, image.height)(error.to_string()))
}

fn resize_failure(width: u32, height: u32) -> impl Fn(String) -> DataError {
    move |reason| DataError::Resize { width, height, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32, values: &[u8]) -> RgbImage8 {
        RgbImage8 { width, height, pixels: values.iter().flat_map(|&value| [value; 3]).collect() }
    }

    #[test]
    fn halving_widens_the_triangle_filter() {
        // Triangle of radius 2 around 1.0 and 3.0: pixel centres 0.5, 1.5, 2.5 | 1.5, 2.5, 3.5 weigh 3, 3, 1
        // | 1, 3, 3: (3*0 + 3*70 + 1*140) / 7 = 50 and (1*70 + 3*140 + 3*210) / 7 = 160
        let halved = resize(&grey(4, 1, &[0, 70, 140, 210]), 2, 1).unwrap();
        assert_eq!(halved, grey(2, 1, &[50, 160]));
    }

    #[test]
    fn doubling_interpolates() {
        // Centres 0.25, 0.75, 1.25, 1.75 between pixels at 0.5 and 1.5: 0, 0.25 * 100, 0.75 * 100, 100
        let doubled = resize(&grey(2, 1, &[0, 100]), 4, 1).unwrap();
        assert_eq!(doubled, grey(4, 1, &[0, 25, 75, 100]));
    }

    #[test]
    fn pixels_outside_the_crop_do_not_count() {
        let image = grey(4, 2, &[255, 10, 20, 255, 255, 10, 20, 255]);
        let crop = CropBox { left: 1, top: 0, width: 2, height: 2 };
        assert_eq!(resize_crop(&image, crop, 2, 2).unwrap(), grey(2, 2, &[10, 20, 10, 20]));
        // Both pixels weigh the same in the single output pixel.
        assert_eq!(resize_crop(&image, crop, 1, 1).unwrap(), grey(1, 1, &[15]));
    }

    #[test]
    fn a_region_equals_the_same_part_of_the_whole() {
        let values: Vec<u8> = (0..30 * 20).map(|index| (index * 7 % 251) as u8).collect();
        let image = grey(30, 20, &values);
        let whole = resize(&image, 15, 10).unwrap();
        let region = CropBox { left: 4, top: 3, width: 6, height: 5 };
        let wanted = ResizedRegion { width: 30, height: 20, resized_width: 15, resized_height: 10, region };
        let mut resampler = Resampler::default();
        let part = resampler.resize_region(&image, &wanted).unwrap();
        for (row, part_row) in part.chunks_exact(6 * 3).enumerate() {
            let start = ((row + 3) * 15 + 4) * 3;
            assert_eq!(part_row, &whole.pixels[start..start + 6 * 3], "row {row}");
        }
    }

    #[test]
    fn shrinking_keeps_the_proportions() {
        let size = |width, height, side| {
            let image = shrink(&grey(width, height, &vec![9; (width * height) as usize]), side).unwrap();
            (image.width, image.height)
        };
        // 60 * 15 / 40 = 22.5
        assert_eq!((size(60, 40, 15), size(40, 60, 15)), ((22, 15), (15, 22)));
        assert_eq!(size(1000, 2, 1), (500, 1));
    }

    #[test]
    fn impossible_requests_are_errors() {
        let image = grey(2, 2, &[0; 4]);
        assert!(matches!(resize(&image, 0, 3), Err(DataError::Resize { .. })));
        let crop = CropBox { left: 1, top: 0, width: 2, height: 1 };
        assert!(matches!(resize_crop(&image, crop, 1, 1), Err(DataError::CropOutside { .. })));
        let crop = CropBox { left: u32::MAX, top: 0, width: 2, height: 1 };
        assert!(matches!(resize_crop(&image, crop, 1, 1), Err(DataError::CropOutside { .. })));
        let crop = CropBox { left: 0, top: 0, width: 0, height: 1 };
        assert!(matches!(resize_crop(&image, crop, 1, 1), Err(DataError::CropOutside { .. })));
        let no_pixels = RgbImage8 { width: 2, height: 2, pixels: vec![0; 11] };
        assert!(matches!(resize(&no_pixels, 1, 1), Err(DataError::InvalidImage { .. })));
    }
}
