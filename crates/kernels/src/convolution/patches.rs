//! Patches of an image as the rows of a matrix, and back.

use std::ops::Range;

use super::shape::ConvShape;

/// An image with its padding, the pixels of each row sorted by their place within a step: what a pixel of the
/// kernel sees along a row of places lies one after the other.
pub(super) struct Phases<'a> {
    shape: &'a ConvShape,
    /// `[channels, padded height, steps, width of a phase]`.
    values: Vec<f32>,
    phase_width: usize,
}

impl<'a> Phases<'a> {
    /// Zeros.
    pub(super) fn new(shape: &'a ConvShape) -> Self {
        let phase_width = (shape.width + 2 * shape.padding[1]).div_ceil(shape.stride[1]);
        let len = shape.channels_in * (shape.height + 2 * shape.padding[0]) * shape.stride[1] * phase_width;
        Self { shape, values: vec![0.0; len], phase_width }
    }

    pub(super) fn clear(&mut self) {
        self.values.fill(0.0);
    }

    /// Takes an image, `[channels, height, width]`.
    pub(super) fn load(&mut self, image: &[f32]) {
        self.for_each_value(image.len(), |phases, from, to| phases[to] = image[from]);
    }

    /// Adds the pixels to an image.
    pub(super) fn add_to(&mut self, image: &mut [f32]) {
        self.for_each_value(image.len(), |phases, from, to| image[from] += phases[to]);
    }

    /// Calls `visit` with the place of every pixel in the image and here.
    #[inline(always)]
    fn for_each_value(&mut self, len: usize, mut visit: impl FnMut(&mut [f32], usize, usize)) {
        let ConvShape { height, width, padding, stride, .. } = *self.shape;
        for row in 0..len / width {
            let (channel, y) = (row / height, row % height);
            let start = self.row_start(channel, y + padding[0]);
            for phase in 0..stride[1].min(width) {
                let (at, first) = ((phase + padding[1]) % stride[1], (phase + padding[1]) / stride[1]);
                let to = start + at * self.phase_width + first;
                for (index, x) in (phase..width).step_by(stride[1]).enumerate() {
                    visit(&mut self.values, row * width + x, to + index);
                }
            }
        }
    }

    fn row_start(&self, channel: usize, y: usize) -> usize {
        let padded_height = self.shape.height + 2 * self.shape.padding[0];
        (channel * padded_height + y) * self.shape.stride[1] * self.phase_width
    }

    /// Fills `rows`, one of `step` values for each pixel of a patch, with what the pixel is at the `places`,
    /// counted row by row over the map.
    pub(super) fn patches(&self, places: Range<usize>, rows: &mut [f32], step: usize) {
        let segments = self.segments(places);
        for (row, first) in rows.chunks_mut(step).zip(self.pixel_starts()) {
            for segment in &segments {
                let source = &self.values[first + segment.source..][..segment.len];
                row[segment.target..segment.target + segment.len].copy_from_slice(source);
            }
        }
    }

    /// Adds rows like those that [`patches`](Self::patches) fills to the pixels they come from.
    pub(super) fn add_patches(&mut self, places: Range<usize>, rows: &[f32], step: usize) {
        let segments = self.segments(places);
        let starts: Vec<usize> = self.pixel_starts().collect();
        for (row, first) in rows.chunks(step).zip(starts) {
            for segment in &segments {
                let target = &mut self.values[first + segment.source..][..segment.len];
                let source = &row[segment.target..segment.target + segment.len];
                target.iter_mut().zip(source).for_each(|(target, value)| *target += value);
            }
        }
    }

    /// Where each pixel of a patch begins.
    fn pixel_starts(&self) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let [kernel_h, kernel_w] = self.shape.kernel;
        (0..self.shape.patch_len()).map(move |pixel| {
            let (channel, y, x) =
                (pixel / (kernel_h * kernel_w), pixel / kernel_w % kernel_h, pixel % kernel_w);
            let stride = self.shape.stride[1];
            self.row_start(channel, y) + x % stride * self.phase_width + x / stride
        })
    }

    /// The places in pieces of rows of the map.
    fn segments(&self, places: Range<usize>) -> Vec<Segment> {
        let width = self.shape.map_size().width;
        let row_step = self.shape.stride[0] * self.shape.stride[1] * self.phase_width;
        let mut segments = Vec::new();
        let mut place = places.start;
        while place < places.end {
            let (row, column) = (place / width, place % width);
            let len = (width - column).min(places.end - place);
            segments.push(Segment { source: row * row_step + column, target: place - places.start, len });
            place += len;
        }
        segments
    }
}

struct Segment {
    source: usize,
    target: usize,
    len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_what_the_kernel_sees() {
        let shape = ConvShape {
            batch: 1,
            channels_in: 2,
            height: 4,
            width: 5,
            channels_out: 1,
            kernel: [3, 2],
            stride: [2, 3],
            padding: [1, 2],
        };
        assert_eq!((shape.map_size().height, shape.map_size().width), (2, 3));
        let image: Vec<f32> = (1..=40).map(|value| value as f32).collect();
        let pixel = |channel: usize, y: isize, x: isize| {
            let is_inside = (0..4).contains(&y) && (0..5).contains(&x);
            if is_inside { image[channel * 20 + y as usize * 5 + x as usize] } else { 0.0 }
        };
        let mut phases = Phases::new(&shape);
        phases.load(&image);
        for places in [0..6, 1..4, 2..3] {
            let step = places.len() + 1;
            let mut rows = vec![f32::NAN; 12 * step];
            phases.patches(places.clone(), &mut rows, step);
            for (row, values) in rows.chunks(step).enumerate() {
                let (channel, ky, kx) = (row / 6, row / 2 % 3, row % 2);
                for (value, place) in values.iter().zip(places.clone()) {
                    let (y, x) = (place / 3 * 2 + ky, place % 3 * 3 + kx);
                    assert_eq!(*value, pixel(channel, y as isize - 1, x as isize - 2), "{row} {place}");
                }
            }
        }
        // Every pixel comes back as often as a patch has it.
        let mut rows = vec![0.0; 12 * 6];
        phases.load(&[1.0; 40]);
        phases.patches(0..6, &mut rows, 6);
        phases.clear();
        phases.add_patches(0..6, &rows, 6);
        let mut counts = vec![0.0; 40];
        phases.add_to(&mut counts);
        assert_eq!(counts.iter().sum::<f32>(), rows.iter().sum::<f32>());
    }
}
