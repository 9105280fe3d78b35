//! Patches of images as the columns of a matrix, and back.

use std::ops::Range;

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConvShape {
    pub(super) batch: usize,
    pub(super) channels_in: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels_out: usize,
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
}

impl ConvShape {
    pub(super) fn out_height(&self) -> usize {
        (self.height + 2 * self.padding[0] - self.kernel[0]) / self.stride[0] + 1
    }

    pub(super) fn out_width(&self) -> usize {
        (self.width + 2 * self.padding[1] - self.kernel[1]) / self.stride[1] + 1
    }

    /// Places of the kernel on an image.
    pub(super) fn num_places(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Pixels of a patch, all channels together.
    pub(super) fn patch_len(&self) -> usize {
        self.channels_in * self.kernel[0] * self.kernel[1]
    }

    /// Values of an image.
    pub(super) fn image_len(&self) -> usize {
        self.channels_in * self.height * self.width
    }

    /// Walks the rows of the patch matrix of `places`: for every pixel of a patch and every row of places a [`Run`].
    fn for_each_run(&self, places: &Range<usize>, mut visit: impl FnMut(Run)) {
        let out_width = self.out_width();
        let num_places = places.len();
        let plane = self.height * self.width;
        for pixel in 0..self.patch_len() {
            let (channel, in_kernel) =
                (pixel / (self.kernel[0] * self.kernel[1]), pixel % (self.kernel[0] * self.kernel[1]));
            let (kernel_y, kernel_x) = (in_kernel / self.kernel[1], in_kernel % self.kernel[1]);
            // The first and the place after the last whose pixel lies within the image from left to right.
            let first_x = self.padding[1].saturating_sub(kernel_x).div_ceil(self.stride[1]);
            let end_x = (self.width + self.padding[1])
                .saturating_sub(kernel_x)
                .div_ceil(self.stride[1])
                .min(out_width);
            let mut place = places.start;
            while place < places.end {
                let (row, column) = (place / out_width, place % out_width);
                let end = (place + out_width - column).min(places.end);
                let y = row * self.stride[0] + kernel_y;
                let is_inside = y >= self.padding[0] && y < self.height + self.padding[0];
                let (first, last) =
                    (first_x.clamp(column, column + end - place), end_x.clamp(column, column + end - place));
                let start = pixel * num_places + place - places.start;
                let (inside, source) = if is_inside && first < last {
                    let x = first * self.stride[1] + kernel_x - self.padding[1];
                    let source = channel * plane + (y - self.padding[0]) * self.width + x;
                    (first - column..last - column, source)
                } else {
                    (0..0, 0)
                };
                visit(Run { start, len: end - place, inside, source });
                place = end;
            }
        }
    }

    /// Fills `columns`, `[patch_len, places.len()]`, with the patches of an image, `[channels_in, height, width]`.
    pub(super) fn patches(&self, image: &[f32], places: &Range<usize>, columns: &mut [f32]) {
        let stride = self.stride[1];
        self.for_each_run(places, |run| {
            let row = &mut columns[run.start..run.start + run.len];
            row[..run.inside.start].fill(0.0);
            row[run.inside.end..].fill(0.0);
            let row = &mut row[run.inside];
            if stride == 1 {
                row.copy_from_slice(&image[run.source..run.source + row.len()]);
            } else {
                let source = image[run.source..].iter().step_by(stride);
                row.iter_mut().zip(source).for_each(|(target, source)| *target = *source);
            }
        });
    }

    /// Adds patches to the pixels of the image they come from; the reverse of [`patches`](Self::patches).
    pub(super) fn add_patches(&self, columns: &[f32], places: &Range<usize>, image: &mut [f32]) {
        let stride = self.stride[1];
        self.for_each_run(places, |run| {
            let row = &columns[run.start + run.inside.start..run.start + run.inside.end];
            if stride == 1 {
                let target = &mut image[run.source..run.source + row.len()];
                target.iter_mut().zip(row).for_each(|(target, value)| *target += value);
            } else {
                let target = image[run.source..].iter_mut().step_by(stride);
                target.zip(row).for_each(|(target, value)| *target += value);
            }
        });
    }
}

/// A row of places of one pixel of the patches.
struct Run {
    /// Where it begins in the matrix.
    start: usize,
    len: usize,
    /// The part of it whose pixels lie within the image.
    inside: Range<usize>,
    /// The first of these pixels.
    source: usize,
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
        assert_eq!((shape.out_height(), shape.out_width()), (2, 3));
        let image: Vec<f32> = (1..=40).map(|value| value as f32).collect();
        let pixel = |channel: usize, y: isize, x: isize| {
            let is_inside = (0..4).contains(&y) && (0..5).contains(&x);
            if is_inside { image[channel * 20 + y as usize * 5 + x as usize] } else { 0.0 }
        };
        for places in [0..6, 1..4, 2..3] {
            let mut columns = vec![f32::NAN; 12 * places.len()];
            shape.patches(&image, &places, &mut columns);
            for (row, values) in columns.chunks(places.len()).enumerate() {
                let (channel, ky, kx) = (row / 6, row / 2 % 3, row % 2);
                for (value, place) in values.iter().zip(places.clone()) {
                    let (y, x) = (place / 3 * 2 + ky, place % 3 * 3 + kx);
                    assert_eq!(*value, pixel(channel, y as isize - 1, x as isize - 2), "{row} {place}");
                }
            }
        }
        // Every pixel comes back as often as a patch has it.
        let mut columns = vec![0.0; 12 * 6];
        shape.patches(&[1.0; 40], &(0..6), &mut columns);
        let mut counts = vec![0.0; 40];
        shape.add_patches(&columns, &(0..6), &mut counts);
        assert_eq!(counts.iter().sum::<f32>(), columns.iter().sum::<f32>());
    }
}
