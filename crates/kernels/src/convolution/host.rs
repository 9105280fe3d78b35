//! Convolution and its gradients on the CPU, as products of matrices of patches.

use std::ops::Range;

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::columns::ConvShape;

/// Values of a tile of patches, so that it stays in the second-level cache while it is multiplied.
const TILE_VALUES: usize = 192 * 1024;
/// Images whose gradients of the weights are added up one after the other.
const IMAGES_PER_BLOCK: usize = 4;

/// Places of a tile.
fn tiles(shape: &ConvShape) -> impl Iterator<Item = Range<usize>> {
    let num_places = shape.num_places();
    let most = (TILE_VALUES / shape.patch_len()).clamp(32, 1024);
    // Tiles of about the same size, of whole vectors.
    let per_tile = num_places.div_ceil(num_places.div_ceil(most)).next_multiple_of(16).min(num_places);
    (0..num_places).step_by(per_tile.max(1)).map(move |first| first..(first + per_tile).min(num_places))
}

/// A matrix in a slice: element `(i, j)` lies at `i * row_step + j * column_step`.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    fn rows(values: &'a [f32], row_step: usize) -> Self {
        Self { values, row_step, column_step: 1 }
    }

    fn transposed(self) -> Self {
        Self { row_step: self.column_step, column_step: self.row_step, ..self }
    }
}

/// `target = left * right`, added to what is there with `add`; `target` has rows in steps of `target_step`.
fn multiply(
    [rows, columns, inner]: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    target: &mut [f32],
    target_step: usize,
    add: bool,
) {
    if rows == 0 || columns == 0 || inner == 0 {
        return;
    }
    let last =
        |matrix: Matrix<'_>, i: usize, j: usize| (i - 1) * matrix.row_step + (j - 1) * matrix.column_step;
    assert!(last(left, rows, inner) < left.values.len() && last(right, inner, columns) < right.values.len());
    assert!((rows - 1) * target_step + columns <= target.len());
    // SAFETY: the assertions above bound every element that is read or written, and `target` is borrowed alone.
    unsafe {
        gemm(
            rows,
            columns,
            inner,
            target.as_mut_ptr(),
            1,
            target_step as isize,
            add,
            left.values.as_ptr(),
            left.column_step as isize,
            left.row_step as isize,
            right.values.as_ptr(),
            right.column_step as isize,
            right.row_step as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Maps `[batch, channels_out, h', w']` of images, weights and biases.
pub(super) fn convolve(images: &[f32], weight: &[f32], bias: &[f32], shape: &ConvShape) -> Vec<f32> {
    let (places, patch_len) = (shape.num_places(), shape.patch_len());
    let mut maps = vec![0.0; shape.batch * shape.channels_out * places];
    let of_images =
        maps.par_chunks_mut(shape.channels_out * places).zip(images.par_chunks(shape.image_len()));
    of_images.for_each_init(Vec::new, |columns, (maps, image)| {
        for (plane, &bias) in maps.chunks_exact_mut(places).zip(bias) {
            plane.fill(bias);
        }
        for tile in tiles(shape) {
            columns.resize(patch_len * tile.len(), 0.0);
            shape.patches(image, &tile, columns);
            let sizes = [shape.channels_out, tile.len(), patch_len];
            let patches = Matrix::rows(columns, tile.len());
            multiply(sizes, Matrix::rows(weight, patch_len), patches, &mut maps[tile.start..], places, true);
        }
    });
    maps
}

/// The gradient of the images from that of the maps.
pub(super) fn image_gradient(weight: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    let (places, patch_len) = (shape.num_places(), shape.patch_len());
    let mut of_images = vec![0.0; shape.batch * shape.image_len()];
    let pairs =
        of_images.par_chunks_mut(shape.image_len()).zip(of_maps.par_chunks(shape.channels_out * places));
    pairs.for_each_init(Vec::new, |columns, (of_image, of_maps)| {
        for tile in tiles(shape) {
            columns.resize(patch_len * tile.len(), 0.0);
            let sizes = [patch_len, tile.len(), shape.channels_out];
            let (left, right) =
                (Matrix::rows(weight, patch_len).transposed(), Matrix::rows(&of_maps[tile.start..], places));
            multiply(sizes, left, right, columns, tile.len(), false);
            shape.add_patches(columns, &tile, of_image);
        }
    });
    of_images
}

/// The gradient of the weights from that of the maps.
pub(super) fn weight_gradient(images: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    let (places, patch_len) = (shape.num_places(), shape.patch_len());
    let maps_len = shape.channels_out * places;
    let blocks = images
        .par_chunks(IMAGES_PER_BLOCK * shape.image_len())
        .zip(of_maps.par_chunks(IMAGES_PER_BLOCK * maps_len));
    let of_block = |(images, of_maps): (&[f32], &[f32])| {
        let mut of_weight = vec![0.0; shape.channels_out * patch_len];
        let mut columns = Vec::new();
        for (image, of_maps) in images.chunks_exact(shape.image_len()).zip(of_maps.chunks_exact(maps_len)) {
            for tile in tiles(shape) {
                columns.resize(patch_len * tile.len(), 0.0);
                shape.patches(image, &tile, &mut columns);
                let sizes = [shape.channels_out, patch_len, tile.len()];
                let (left, right) = (
                    Matrix::rows(&of_maps[tile.start..], places),
                    Matrix::rows(&columns, tile.len()).transposed(),
                );
                multiply(sizes, left, right, &mut of_weight, patch_len, true);
            }
        }
        of_weight
    };
    let of_blocks: Vec<Vec<f32>> = blocks.map(of_block).collect();
    sum_in_order(of_blocks, shape.channels_out * patch_len)
}

/// The gradient of the biases from that of the maps.
pub(super) fn bias_gradient(of_maps: &[f32], channels_out: usize, places: usize) -> Vec<f32> {
    let of_image = |of_maps: &[f32]| -> Vec<f32> {
        of_maps.chunks_exact(places).map(|plane| plane.iter().sum()).collect()
    };
    let of_images: Vec<Vec<f32>> = of_maps.par_chunks(channels_out * places).map(of_image).collect();
    sum_in_order(of_images, channels_out)
}

fn sum_in_order(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_else(|| vec![0.0; len]);
    for part in parts {
        sum.iter_mut().zip(&part).for_each(|(sum, value)| *sum += value);
    }
    sum
}
