//! Appearance of a region: its size, box, colours and textures (section 3.2).

use super::color::{Planes, gaussian};

/// Bins of a colour histogram, per plane.
const COLOR_BINS: usize = 25;
/// Orientations of the derivatives of a plane.
const ORIENTATIONS: usize = 8;
/// Bins of the histogram of an orientation.
const TEXTURE_BINS: usize = 10;
/// The bins of all orientations of a plane.
const TEXTURES: usize = ORIENTATIONS * TEXTURE_BINS;
/// The largest derivative that has a bin of its own; steeper ones share the last.
const STEEPEST: f32 = 64.0;

/// A region of an image; sums of histograms are 1.
#[derive(Debug, Clone)]
pub(super) struct Region {
    /// Pixels.
    pub(super) size: f32,
    /// First column, first row, last column, last row.
    pub(super) bounds: [usize; 4],
    /// `3 * COLOR_BINS` shares of the pixels.
    pub(super) colors: Vec<f32>,
    /// `3 * TEXTURES` shares of the pixels.
    pub(super) textures: Vec<f32>,
}

impl Region {
    /// The region of the pixels of both.
    pub(super) fn merged(&self, other: &Self) -> Self {
        let size = self.size + other.size;
        let mean = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).map(|(a, b)| (self.size * a + other.size * b) / size).collect()
        };
        Self {
            size,
            bounds: self.joint_bounds(other),
            colors: mean(&self.colors, &other.colors),
            textures: mean(&self.textures, &other.textures),
        }
    }

    /// The box around both.
    pub(super) fn joint_bounds(&self, other: &Self) -> [usize; 4] {
        let ([a, b, c, d], [e, f, g, h]) = (self.bounds, other.bounds);
        [a.min(e), b.min(f), c.max(g), d.max(h)]
    }
}

/// The bin of each orientation for every pixel of every plane, `[3][pixels][ORIENTATIONS]`.
pub(super) struct TextureBins {
    bins: [Vec<[u8; ORIENTATIONS]>; 3],
}

impl TextureBins {
    pub(super) fn new(planes: &Planes) -> Self {
        let smooth = gaussian(1.0);
        // The derivative of a Gaussian of standard deviation 1.
        let reach = (smooth.len() / 2) as f32;
        let slope: Vec<f32> =
            smooth.iter().enumerate().map(|(place, weight)| (place as f32 - reach) * weight).collect();
        let bins = [0, 1, 2].map(|plane| {
            let values = &planes.values[plane];
            let (across, down) =
                (planes.convolve(values, &slope, &smooth), planes.convolve(values, &smooth, &slope));
            across.iter().zip(&down).map(|(&across, &down)| texture_of(across, down)).collect()
        });
        Self { bins }
    }
}

/// The bins of a gradient in eight directions; the first bin where it points away from a direction.
fn texture_of(across: f32, down: f32) -> [u8; ORIENTATIONS] {
    const DIAGONAL: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let (rising, falling) = (DIAGONAL * (across + down), DIAGONAL * (down - across));
    let bin = |slope: f32| {
        let place = slope.max(0.0) * (TEXTURE_BINS as f32 / STEEPEST);
        (place as usize).min(TEXTURE_BINS - 1) as u8
    };
    [across, rising, down, falling, -across, -rising, -down, -falling].map(bin)
}

/// The regions of a segmentation.
pub(super) fn describe_regions(
    planes: &Planes,
    textures: &TextureBins,
    labels: &[u32],
    num_regions: usize,
) -> Vec<Region> {
    let empty = Region {
        size: 0.0,
        bounds: [usize::MAX, usize::MAX, 0, 0],
        colors: vec![0.0; 3 * COLOR_BINS],
        textures: vec![0.0; 3 * TEXTURES],
    };
    let mut regions = vec![empty; num_regions];
    for (pixel, &label) in labels.iter().enumerate() {
        let region = &mut regions[label as usize];
        let (x, y) = (pixel % planes.width, pixel / planes.width);
        region.size += 1.0;
        let [left, top, right, bottom] = region.bounds;
        region.bounds = [left.min(x), top.min(y), right.max(x), bottom.max(y)];
        for plane in 0..3 {
            let place = planes.values[plane][pixel].clamp(0.0, 255.0) * (COLOR_BINS as f32 / 256.0);
            region.colors[plane * COLOR_BINS + place as usize] += 1.0;
            for (orientation, &bin) in textures.bins[plane][pixel].iter().enumerate() {
                region.textures[plane * TEXTURES + orientation * TEXTURE_BINS + usize::from(bin)] += 1.0;
            }
        }
    }
    for region in &mut regions {
        let (color_share, texture_share) =
            (1.0 / (3.0 * region.size), 1.0 / (3.0 * ORIENTATIONS as f32 * region.size));
        region.colors.iter_mut().for_each(|count| *count *= color_share);
        region.textures.iter_mut().for_each(|count| *count *= texture_share);
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_described_and_merged() {
        // Left half 0, right half 200, one plane; the others are 0.
        let values: Vec<f32> = (0..48).map(|pixel| if pixel % 12 < 6 { 0.0 } else { 200.0 }).collect();
        let planes = Planes { width: 12, height: 4, values: [values, vec![0.0; 48], vec![0.0; 48]] };
        let labels: Vec<u32> = (0..48).map(|pixel| u32::from(pixel % 12 >= 6)).collect();
        let regions = describe_regions(&planes, &TextureBins::new(&planes), &labels, 2);
        assert_eq!(
            (regions[0].size, regions[0].bounds, regions[1].bounds),
            (24.0, [0, 0, 5, 3], [6, 0, 11, 3])
        );
        let third = 1.0 / 3.0;
        assert!((regions[0].colors[0] - third).abs() < 1e-6);
        // 200 * 25 / 256 = 19.5.
        assert!((regions[1].colors[19] - third).abs() < 1e-6);
        for region in &regions {
            let sums = [region.colors.iter().sum::<f32>(), region.textures.iter().sum::<f32>()];
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{sums:?}");
        }
        let both = regions[0].merged(&regions[1]);
        assert_eq!((both.size, both.bounds), (48.0, [0, 0, 11, 3]));
        assert!((both.colors[19] - third / 2.0).abs() < 1e-6);
        // The edge rises to the right: the first orientation sees it, the opposite one does not.
        assert!(both.textures[1..10].iter().sum::<f32>() > 0.0);
        assert_eq!(both.textures[41..50].iter().sum::<f32>(), 0.0);
    }
}
