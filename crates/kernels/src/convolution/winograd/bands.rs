//! Bands of rows of an image with the channels innermost, `[rows, width, channels]`, so that vectors hold
//! channels.

use super::super::shape::MapSize;

/// Channels are padded with zeros to multiples of this, the longest vector there is.
const CHANNEL_BLOCK: usize = 16;

/// Where a band lies: its first row and column in the image can lie before the first of the image, and its
/// last beyond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Band {
    pub(super) top: isize,
    pub(super) left: isize,
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// Channels with their padding.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_BLOCK)
}

impl Band {
    /// Values of the band.
    pub(super) fn len(&self) -> usize {
        self.rows * self.width * padded(self.channels)
    }

    /// For each row and block of channels: where they begin in the band, the first channel, where the row
    /// begins in a plane of the image, and the length of both.
    fn for_each_row(&self, size: MapSize, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let step = padded(self.channels);
        let first_x = (-self.left).max(0) as usize;
        let end_x = (size.width as isize - self.left).clamp(0, self.width as isize) as usize;
        for row in 0..self.rows {
            let y = self.top + row as isize;
            if y < 0 || y >= size.height as isize || first_x >= end_x {
                continue;
            }
            let in_plane = y as usize * size.width + (first_x as isize + self.left) as usize;
            for channel in (0..self.channels).step_by(CHANNEL_BLOCK) {
                visit((row * self.width + first_x) * step + channel, channel, in_plane, end_x - first_x);
            }
        }
    }

    /// Fills `values` with the band of an image, `[channels, height, width]`; zeros lie beyond it.
    pub(super) fn load(&self, image: &[f32], size: MapSize, values: &mut Vec<f32>) {
        let (step, plane) = (padded(self.channels), size.len());
        values.resize(self.len(), 0.0);
        self.clear_beyond(size, values);
        self.for_each_row(size, |start, channel, in_plane, len| {
            let targets = values[start..].chunks_mut(step).take(len);
            if channel + CHANNEL_BLOCK <= self.channels {
                let rows: [&[f32]; CHANNEL_BLOCK] =
                    std::array::from_fn(|index| &image[(channel + index) * plane + in_plane..][..len]);
                for (x, target) in targets.enumerate() {
                    let pixel: [f32; CHANNEL_BLOCK] = std::array::from_fn(|index| rows[index][x]);
                    target[..CHANNEL_BLOCK].copy_from_slice(&pixel);
                }
            } else {
                for (x, target) in targets.enumerate() {
                    for (index, value) in target.iter_mut().take(self.channels - channel).enumerate() {
                        *value = image[(channel + index) * plane + in_plane + x];
                    }
                }
            }
        });
    }

    /// Sets to zero what [`load`](Self::load) does not fill.
    fn clear_beyond(&self, size: MapSize, values: &mut [f32]) {
        let step = padded(self.channels);
        if step > self.channels {
            return values.fill(0.0);
        }
        let first_x = (-self.left).clamp(0, self.width as isize) as usize;
        let end_x = (size.width as isize - self.left).clamp(first_x as isize, self.width as isize) as usize;
        for (row, values) in values.chunks_exact_mut(self.width * step).enumerate() {
            if (0..size.height as isize).contains(&(self.top + row as isize)) {
                values[..first_x * step].fill(0.0);
                values[end_x * step..].fill(0.0);
            } else {
                values.fill(0.0);
            }
        }
    }

    /// Hands every channel's row of the band, and of the image where it lies, to `put`.
    pub(super) fn unload(
        &self,
        values: &[f32],
        image: &mut [f32],
        size: MapSize,
        put: impl Fn(usize, &mut f32, f32),
    ) {
        let (step, plane) = (padded(self.channels), size.len());
        self.for_each_row(size, |start, channel, in_plane, len| {
            for channel_in_block in 0..CHANNEL_BLOCK.min(self.channels - channel) {
                let channel = channel + channel_in_block;
                let row = &mut image[channel * plane + in_plane..][..len];
                let source = values[start + channel_in_block..].iter().step_by(step);
                row.iter_mut().zip(source).for_each(|(target, &value)| put(channel, target, value));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_come_from_the_image_and_go_back() {
        for channels in [1, 3, 16, 18] {
            let size = MapSize { height: 4, width: 5 };
            let image: Vec<f32> = (1..=channels * 20).map(|value| value as f32).collect();
            for (top, left) in [(-1, -2), (0, 0), (2, 1), (-9, 3)] {
                let band = Band { top, left, rows: 3, width: 6, channels };
                let mut values = vec![f32::NAN; 7];
                values.resize(band.len(), f32::NAN);
                band.load(&image, size, &mut values);
                assert!(values.iter().all(|value| value.is_finite()));
                let mut back = vec![0.0; image.len()];
                band.unload(&values, &mut back, size, |_, target, value| *target += value);
                for (index, (&back, &value)) in back.iter().zip(&image).enumerate() {
                    let (y, x) = ((index / 5 % 4) as isize, (index % 5) as isize);
                    let is_inside = (top..top + 3).contains(&y) && (left..left + 6).contains(&x);
                    assert_eq!(back, if is_inside { value } else { 0.0 }, "{channels} {top} {left} {index}");
                }
            }
        }
    }
}
