//! Convolutions of 3 x 3 and 5 x 5 kernels in steps of one pixel with fewer multiplications (Lavin & Gray, *Fast Algorithms for
//! Convolutional Neural Networks*, CVPR 2016).
//!
//! Tiles of 6 x 6 inputs and the weights are transformed so that their convolution becomes one product of matrices for each of
//! 36 pairs of points, channels by channels, and the products are transformed to 4 x 4 or 2 x 2 outputs: 2.25 products for
//! an output instead of 9, and 9 instead of 25. Both gradients take the transposed maps.

mod bands;
mod tiles;
mod transforms;
mod weights;

use std::ops::Range;

use rayon::prelude::*;

use super::shape::{ConvShape, Epilogue};
use super::tasks::convolve_tasks;
use crate::host::matrix_product::{Matrix, Panels, multiply, pack, panels_len};
use bands::{Band, padded};
use tiles::{LINE, TileRow, TileShape};
use transforms::{Evaluate, EvaluateTransposed, LinearMap, POINTS, Spread, SpreadTransposed};
use weights::{PointMatrices, weight_gradient_from_points};

/// Fewest channels on both sides for which the transforms pay.
const LEAST_CHANNELS: usize = 16;
/// Tiles a thread works on at a time, so that they stay in its caches while the matrices of the weights are read once.
const TILES_AT_A_TIME: usize = 128;
/// Pieces of as many tiles whose gradients of the weights are added up at a time.
const PIECES_IN_A_SUM: usize = 4;

/// Whether [`convolve`] and its gradients can do this convolution, and faster than a direct product.
pub(super) fn fits(shape: &ConvShape) -> bool {
    matches!(shape.kernel, [3, 3] | [5, 5])
        && shape.stride == [1, 1]
        && shape.channels_in.min(shape.channels_out) >= LEAST_CHANNELS
}

/// Maps `[batch, channels_out, h', w']` of images, weights and biases.
///
/// # Panics
/// Where the convolution does not [fit](fits).
pub(super) fn convolve(
    images: &[f32],
    weight: &[f32],
    bias: &[f32],
    shape: &ConvShape,
    epilogue: Epilogue,
) -> Vec<f32> {
    match shape.kernel {
        [3, 3] => convolve_by::<3, 4>(images, weight, bias, shape, epilogue),
        [5, 5] => convolve_by::<5, 2>(images, weight, bias, shape, epilogue),
        _ => unreachable!("callers ask whether the convolution fits"),
    }
}

/// The gradient of the images from that of the maps.
///
/// # Panics
/// As [`convolve`].
pub(super) fn image_gradient(weight: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    match shape.kernel {
        [3, 3] => image_gradient_by::<3, 4>(weight, of_maps, shape),
        [5, 5] => image_gradient_by::<5, 2>(weight, of_maps, shape),
        _ => unreachable!("callers ask whether the convolution fits"),
    }
}

/// The gradient of the weights from that of the maps.
///
/// # Panics
/// As [`convolve`].
pub(super) fn weight_gradient(images: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    match shape.kernel {
        [3, 3] => weight_gradient_by::<3, 4>(images, of_maps, shape),
        [5, 5] => weight_gradient_by::<5, 2>(images, of_maps, shape),
        _ => unreachable!("callers ask whether the convolution fits"),
    }
}

/// Tiles of `M x M` outputs that cover the maps.
struct TileGrid<'a, const M: usize> {
    shape: &'a ConvShape,
    /// Rows of tiles of an image.
    rows: usize,
    /// Tiles of a row.
    columns: usize,
}

impl<'a, const M: usize> TileGrid<'a, M> {
    fn new(shape: &'a ConvShape) -> Self {
        let maps = shape.map_size();
        Self { shape, rows: maps.height.div_ceil(M), columns: maps.width.div_ceil(M) }
    }

    /// The inputs of the tiles of some rows.
    fn of_images(&self, num_rows: usize) -> TileShape {
        TileShape { tiles: num_rows * self.columns, channels: padded(self.shape.channels_in) }
    }

    /// The outputs of the tiles of some rows.
    fn of_maps(&self, num_rows: usize) -> TileShape {
        TileShape { tiles: num_rows * self.columns, channels: padded(self.shape.channels_out) }
    }

    /// The inputs of a row of tiles of an image, the `index`th of those of `shape`.
    fn image_row(&self, row: usize, shape: TileShape, index: usize) -> (Band, TileRow) {
        let [top, left] = self.shape.padding;
        let width = (self.columns - 1) * M + POINTS;
        let top = (row % self.rows * M) as isize - top as isize;
        let channels = self.shape.channels_in;
        let band = Band { top, left: -(left as isize), rows: POINTS, width, channels };
        (band, TileRow { shape, first: index * self.columns, len: self.columns, width, step: M })
    }

    /// The outputs of a row of tiles of an image, the `index`th of those of `shape`.
    fn map_row(&self, row: usize, shape: TileShape, index: usize) -> (Band, TileRow) {
        let width = self.columns * M;
        let top = (row % self.rows * M) as isize;
        let band = Band { top, left: 0, rows: M, width, channels: self.shape.channels_out };
        (band, TileRow { shape, first: index * self.columns, len: self.columns, width, step: M })
    }

    /// Images that a thread takes at a time.
    fn images_per_task(&self) -> usize {
        let most = (TILES_AT_A_TIME / (self.rows * self.columns)).max(1);
        let num_tasks = self.shape.batch.div_ceil(most).next_multiple_of(rayon::current_num_threads());
        self.shape.batch.div_ceil(num_tasks).max(1)
    }

    /// Ranges of rows of tiles, at most [`TILES_AT_A_TIME`] tiles each; the rows of `num_images` images are counted through.
    fn pieces(&self, num_images: usize) -> Vec<Range<usize>> {
        let (total, at_a_time) = (num_images * self.rows, (TILES_AT_A_TIME / self.columns).max(1));
        (0..total).step_by(at_a_time).map(|first| first..(first + at_a_time).min(total)).collect()
    }

    /// Transforms what rows of tiles see of `images` to the values of the tiles.
    fn load_images(&self, images: &[f32], rows: Range<usize>, band_values: &mut Vec<f32>, tiles: &mut [f32]) {
        let shape = self.of_images(rows.len());
        let image_len = self.shape.image_len();
        for (index, row) in rows.enumerate() {
            let (band, tile_row) = self.image_row(row, shape, index);
            let image = &images[row / self.rows * image_len..][..image_len];
            band.load(image, self.shape.image_size(), band_values);
            tile_row.load::<POINTS, Spread>(band_values, tiles);
        }
    }

    /// Transforms gradients of the maps to the values of their tiles.
    fn load_maps(&self, of_maps: &[f32], rows: Range<usize>, band_values: &mut Vec<f32>, tiles: &mut [f32])
    where
        Evaluate: LinearMap<M, POINTS>,
    {
        let shape = self.of_maps(rows.len());
        let maps_len = self.shape.maps_len();
        for (index, row) in rows.enumerate() {
            let (band, tile_row) = self.map_row(row, shape, index);
            let of_maps = &of_maps[row / self.rows * maps_len..][..maps_len];
            band.load(of_maps, self.shape.map_size(), band_values);
            tile_row.load::<M, Evaluate>(band_values, tiles);
        }
    }
}

/// Room for the tiles of a thread.
#[derive(Default)]
struct Scratch {
    band: Vec<f32>,
    left: Vec<f32>,
    products: Vec<f32>,
}

impl Scratch {
    /// For each pair of points the product of the tiles `left` with a matrix.
    fn multiply(&mut self, left: TileShape, products: TileShape, columns: usize, right: &PointMatrices) {
        let lefts = self.left.chunks_exact(left.point_len());
        let targets = self.products.chunks_exact_mut(products.point_len());
        for (point, (values, target)) in lefts.zip(targets).enumerate() {
            let sizes = [left.tiles, columns, right.inner()];
            let values = Matrix::rows(values, left.channels);
            multiply(sizes, values, right.panels(point), target, products.channels, false);
        }
    }
}

fn convolve_by<const R: usize, const M: usize>(
    images: &[f32],
    weight: &[f32],
    bias: &[f32],
    shape: &ConvShape,
    epilogue: Epilogue,
) -> Vec<f32>
where
    EvaluateTransposed: LinearMap<POINTS, M>,
{
    let grid = TileGrid::<M>::new(shape);
    let matrices = PointMatrices::forward::<R>(weight, shape);
    let image_len = shape.image_len();
    let per_task = grid.images_per_task();
    convolve_tasks(images, shape, epilogue, per_task, Scratch::default, |scratch, images, maps| {
        for rows in grid.pieces(images.len() / image_len) {
            let (left, products) = (grid.of_images(rows.len()), grid.of_maps(rows.len()));
            scratch.left.resize(left.len(), 0.0);
            scratch.products.resize(products.len(), 0.0);
            grid.load_images(images, rows.clone(), &mut scratch.band, &mut scratch.left);
            scratch.multiply(left, products, shape.channels_out, &matrices);
            for (index, row) in rows.enumerate() {
                let (band, tile_row) = grid.map_row(row, products, index);
                scratch.band.resize(band.len(), 0.0);
                tile_row.unload::<M, EvaluateTransposed>(&mut scratch.band, &scratch.products);
                let maps = &mut maps[row / grid.rows * shape.maps_len()..][..shape.maps_len()];
                band.unload(&scratch.band, maps, shape.map_size(), |channel, target, value| {
                    *target = epilogue.activate(value + bias[channel]);
                });
            }
        }
    })
}

fn image_gradient_by<const R: usize, const M: usize>(
    weight: &[f32],
    of_maps: &[f32],
    shape: &ConvShape,
) -> Vec<f32>
where
    Evaluate: LinearMap<M, POINTS>,
{
    let grid = TileGrid::<M>::new(shape);
    let matrices = PointMatrices::backward::<R>(weight, shape);
    let (image_len, maps_len) = (shape.image_len(), shape.maps_len());
    let mut of_images = vec![0.0; shape.batch * image_len];
    let per_task = grid.images_per_task();
    let tasks = of_images.par_chunks_mut(per_task * image_len).zip(of_maps.par_chunks(per_task * maps_len));
    tasks.for_each_init(Scratch::default, |scratch, (of_images, of_maps)| {
        for rows in grid.pieces(of_maps.len() / maps_len) {
            let (left, products) = (grid.of_maps(rows.len()), grid.of_images(rows.len()));
            scratch.left.resize(left.len(), 0.0);
            scratch.products.resize(products.len(), 0.0);
            grid.load_maps(of_maps, rows.clone(), &mut scratch.band, &mut scratch.left);
            scratch.multiply(left, products, shape.channels_in, &matrices);
            for (index, row) in rows.enumerate() {
                let (band, tile_row) = grid.image_row(row, products, index);
                scratch.band.resize(band.len(), 0.0);
                tile_row.unload::<POINTS, SpreadTransposed>(&mut scratch.band, &scratch.products);
                let of_image = &mut of_images[row / grid.rows * image_len..][..image_len];
                band.unload(&scratch.band, of_image, shape.image_size(), |_, target, value| *target += value);
            }
        }
    });
    of_images
}

fn weight_gradient_by<const R: usize, const M: usize>(
    images: &[f32],
    of_maps: &[f32],
    shape: &ConvShape,
) -> Vec<f32>
where
    Evaluate: LinearMap<M, POINTS>,
{
    let grid = TileGrid::<M>::new(shape);
    let channels_in = padded(shape.channels_in);
    let point_len = shape.channels_out * channels_in + LINE;
    let mut of_values = vec![0.0; POINTS * POINTS * point_len];
    for pieces in grid.pieces(shape.batch).chunks(PIECES_IN_A_SUM) {
        let load = |rows: &Range<usize>| {
            let (image_tiles, map_tiles) = (grid.of_images(rows.len()), grid.of_maps(rows.len()));
            let (mut band, mut left, mut right) =
                (Vec::new(), vec![0.0; map_tiles.len()], vec![0.0; image_tiles.len()]);
            grid.load_images(images, rows.clone(), &mut band, &mut right);
            grid.load_maps(of_maps, rows.clone(), &mut band, &mut left);
            ((left, map_tiles), (right, image_tiles))
        };
        let loaded: Vec<_> = pieces.par_iter().map(load).collect();
        let points = of_values.par_chunks_mut(point_len).enumerate();
        points.for_each_init(Vec::new, |panels, (point, of_values)| {
            for ((left, map_tiles), (right, image_tiles)) in &loaded {
                let tiles = map_tiles.tiles;
                panels.resize(panels_len(tiles, shape.channels_in), 0.0);
                let right = Matrix::rows(&right[point * image_tiles.point_len()..], channels_in);
                pack(right, tiles, shape.channels_in, panels);
                let left = Matrix::rows(&left[point * map_tiles.point_len()..], map_tiles.channels);
                let sizes = [shape.channels_out, shape.channels_in, tiles];
                let right = Panels::packed(panels, tiles);
                multiply(sizes, left.transposed(), right, of_values, channels_in, true);
            }
        });
    }
    weight_gradient_from_points::<R>(&of_values, shape)
}
