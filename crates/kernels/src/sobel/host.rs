//! The Sobel filter on the CPU.

use pulp::Arch;
use rayon::prelude::*;

/// Derivatives `[batch, 2, height, width]` of images `[batch, 3, height, width]`.
pub(super) fn sobel(images: &[f32], height: usize, width: usize) -> Vec<f32> {
    let plane = height * width;
    let mut edges = vec![0.0; images.len() / 3 * 2];
    let arch = Arch::new();
    let pairs = edges.par_chunks_mut(2 * plane).zip(images.par_chunks(3 * plane));
    // Grey rows with a zero on either side, and a row of zeros above and below.
    let scratch = || vec![0.0; (height + 2) * (width + 2)];
    pairs.for_each_init(scratch, |grey, (edges, image)| {
        arch.dispatch(|| of_image(image, edges, grey, height, width));
    });
    edges
}

#[inline(always)]
fn of_image(image: &[f32], edges: &mut [f32], grey: &mut [f32], height: usize, width: usize) {
    let plane = height * width;
    let (red, rest) = image.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    for y in 0..height {
        let row = &mut grey[(y + 1) * (width + 2) + 1..][..width];
        let colours = [red, green, blue].map(|colour| &colour[y * width..(y + 1) * width]);
        for (x, grey) in row.iter_mut().enumerate() {
            *grey = (colours[0][x] + colours[1][x] + colours[2][x]) / 3.0;
        }
    }
    let (horizontal, vertical) = edges.split_at_mut(plane);
    for y in 0..height {
        let rows: [&[f32]; 3] =
            std::array::from_fn(|offset| &grey[(y + offset) * (width + 2)..][..width + 2]);
        let horizontal = &mut horizontal[y * width..(y + 1) * width];
        let vertical = &mut vertical[y * width..(y + 1) * width];
        for x in 0..width {
            let left = rows[0][x] + 2.0 * rows[1][x] + rows[2][x];
            let right = rows[0][x + 2] + 2.0 * rows[1][x + 2] + rows[2][x + 2];
            horizontal[x] = left - right;
            let above = rows[0][x] + 2.0 * rows[0][x + 1] + rows[0][x + 2];
            let below = rows[2][x] + 2.0 * rows[2][x + 1] + rows[2][x + 2];
            vertical[x] = above - below;
        }
    }
}
