//! Images as three planes of values from 0 to 255.

use super::ColorSpace;

/// Three planes `[3, height, width]`.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: [Vec<f32>; 3],
}

impl Planes {
    /// The planes of an RGB image in a colour space.
    pub(super) fn new(pixels: &[u8], width: usize, height: usize, space: ColorSpace) -> Self {
        let mut values = [(); 3].map(|()| Vec::with_capacity(width * height));
        // Hue and Lab of the 256 levels of a channel repeat; only the gamma of Lab is worth a table.
        let linear: Vec<f32> = (0..=255_u8).map(linear_light).collect();
        for pixel in pixels.as_chunks::<3>().0 {
            let converted = match space {
                ColorSpace::Hsv => hsv(pixel.map(f32::from)),
                ColorSpace::Lab => lab(pixel.map(|value| linear[usize::from(value)])),
            };
            values.iter_mut().zip(converted).for_each(|(plane, value)| plane.push(value));
        }
        Self { width, height, values }
    }

    /// Blurred by a Gaussian; edges repeat the outermost pixels.
    pub(super) fn blurred(&self, sigma: f32) -> Self {
        let kernel = gaussian(sigma);
        let values = [0, 1, 2].map(|plane| self.convolve(&self.values[plane], &kernel, &kernel));
        Self { values, ..*self }
    }

    /// Convolves a plane with a kernel along rows and one along columns.
    pub(super) fn convolve(&self, plane: &[f32], along_rows: &[f32], along_columns: &[f32]) -> Vec<f32> {
        let (width, height) = (self.width, self.height);
        let mut rows = vec![0.0; plane.len()];
        let reach = along_rows.len() / 2;
        for (source, target) in plane.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
            for (x, target) in target.iter_mut().enumerate() {
                let place = |index: usize| (x + index).saturating_sub(reach).min(width - 1);
                let products = along_rows.iter().enumerate().map(|(index, tap)| tap * source[place(index)]);
                *target = products.sum();
            }
        }
        let mut columns = vec![0.0; plane.len()];
        let reach = along_columns.len() / 2;
        for (y, target) in columns.chunks_exact_mut(width).enumerate() {
            for (index, tap) in along_columns.iter().enumerate() {
                let row = (y + index).saturating_sub(reach).min(height - 1);
                let source = &rows[row * width..(row + 1) * width];
                target.iter_mut().zip(source).for_each(|(target, value)| *target += tap * value);
            }
        }
        columns
    }
}

/// A Gaussian that sums to 1, cut at four standard deviations.
pub(super) fn gaussian(sigma: f32) -> Vec<f32> {
    let reach = (4.0 * sigma).ceil() as i32;
    let weight = |place: i32| if sigma > 0.0 { (-0.5 * (place as f32 / sigma).powi(2)).exp() } else { 1.0 };
    let weights: Vec<f32> = (-reach..=reach).map(weight).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn hsv([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let range = most - least;
    let hue = if range == 0.0 {
        0.0
    } else if most == red {
        ((green - blue) / range).rem_euclid(6.0)
    } else if most == green {
        (blue - red) / range + 2.0
    } else {
        (red - green) / range + 4.0
    };
    let saturation = if most == 0.0 { 0.0 } else { range / most };
    [hue / 6.0 * 255.0, saturation * 255.0, most]
}

/// Inverse of the transfer curve of sRGB.
fn linear_light(value: u8) -> f32 {
    let value = f32::from(value) / 255.0;
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// CIE L*a*b* with the white of D65, scaled as 8-bit images have it: L by 2.55, a and b around 128.
fn lab([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let root = |value: f32| if value > 0.008856 { value.cbrt() } else { 7.787 * value + 16.0 / 116.0 };
    let x = root((0.412453 * red + 0.357580 * green + 0.180423 * blue) / 0.950456);
    let y = root(0.212671 * red + 0.715160 * green + 0.072169 * blue);
    let z = root((0.019334 * red + 0.119193 * green + 0.950227 * blue) / 1.088754);
    [(116.0 * y - 16.0) * 2.55, 500.0 * (x - y) + 128.0, 200.0 * (y - z) + 128.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_by_hand() {
        assert_eq!(hsv([255.0, 0.0, 0.0]), [0.0, 255.0, 255.0]);
        assert_eq!(hsv([0.0, 0.0, 255.0]), [170.0, 255.0, 255.0]);
        assert_eq!(hsv([9.0, 9.0, 9.0]), [0.0, 0.0, 9.0]);
        let white = lab([1.0; 3]);
        assert!((white[0] - 255.0).abs() < 0.01 && (white[1] - 128.0).abs() < 0.05, "{white:?}");
        // Red in Lab: 53.24, 80.09, 67.20.
        let red = lab([1.0, 0.0, 0.0]);
        assert!((red[0] / 2.55 - 53.24).abs() < 0.1 && (red[1] - 208.1).abs() < 0.2, "{red:?}");
    }

    #[test]
    fn blurs_keep_the_mean_of_a_constant_and_spread_a_point() {
        let planes = Planes { width: 9, height: 7, values: [(); 3].map(|()| vec![3.0; 63]) };
        let same = planes.blurred(0.8).values[0].iter().all(|value| (value - 3.0).abs() < 1e-5);
        assert!(same);
        let mut point = planes;
        point.values[1] = vec![0.0; 63];
        point.values[1][3 * 9 + 4] = 1.0;
        let blurred = &point.blurred(0.8).values[1];
        assert!(blurred[3 * 9 + 4] > blurred[3 * 9 + 5] && blurred[3 * 9 + 5] > blurred[9 + 4]);
        assert_eq!(gaussian(0.0), [1.0]);
    }
}
