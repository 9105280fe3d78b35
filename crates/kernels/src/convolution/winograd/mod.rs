//! Convolutions of 3 x 3 and 5 x 5 kernels in steps of one pixel with fewer multiplications (Lavin & Gray,
//! *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016).
//!
//! Tiles of 6 x 6 inputs and the weights are transformed so that their convolution becomes one product of
//! matrices for each of 36 pairs of points, channels by channels, and the products are transformed to 4 x 4
//! or 2 x 2 outputs: 2.25 products for an output instead of 9, and 9 instead of 25. Both gradients take the
//! transposed maps.

mod bands;
mod tiles;
mod transforms;
mod weights;

use std::ops::Range;

use rayon::prelude::*;

use super::shape::{ConvShape, Epilogue, MapSize};
use super::tasks::convolve_tasks;
use crate::host::matrix_product::{Matrix, Panels, multiply, pack, panels_len};
use bands::{Band, padded};
use tiles::{LINE, TileRow, TileShape};
use transforms::{Evaluate, EvaluateTransposed, LinearMap, POINTS, Spread, SpreadTransposed};
use weights::{PointMatrices, weight_gradient_from_points};

/// Fewest channels on both sides for which the transforms pay.
const LEAST_CHANNELS: usize = 16;
/// Tiles a thread works on at a time, so that they stay in its caches while the matrices of the weights are
/// read once.
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

/// Source of the tiles: the images or the maps of a batch.
#[derive(Clone, Copy)]
struct Side {
    channels: usize,
    size: MapSize,
    /// Rows and columns that lie before the first of a plane.
    before: [usize; 2],
    /// Rows and columns of the band of a row of tiles.
    band: [usize; 2],
}

impl Side {
    /// Values of an image or its maps.
    fn len(&self) -> usize {
        self.channels * self.size.len()
    }
}

impl<'a, const M: usize> TileGrid<'a, M> {
    fn new(shape: &'a ConvShape) -> Self {
        let maps = shape.map_size();
        Self { shape, rows: maps.height.div_ceil(M), columns: maps.width.div_ceil(M) }
    }

    fn images(&self) -> Side {
        let band = [POINTS, (self.columns - 1) * M + POINTS];
        let ConvShape { channels_in, padding, .. } = *self.shape;
        Side { channels: channels_in, size: self.shape.image_size(), before: padding, band }
    }

    fn maps(&self) -> Side {
        let (channels, size) = (self.shape.channels_out, self.shape.map_size());
        Side { channels, size, before: [0, 0], band: [M, self.columns * M] }
    }

    /// The tiles of some rows.
    fn tiles(&self, side: Side, num_rows: usize) -> TileShape {
        TileShape { tiles: num_rows * self.columns, channels: padded(side.channels) }
    }

    /// A row of tiles of an image, the `index`th of those of `shape`.
    fn row(&self, side: Side, row: usize, shape: TileShape, index: usize) -> (Band, TileRow) {
        let [rows, width] = side.band;
        let [top, left] = side.before.map(|before| before as isize);
        let top = (row % self.rows * M) as isize - top;
        let band = Band { top, left: -left, rows, width, channels: side.channels };
        (band, TileRow { shape, first: index * self.columns, len: self.columns, width, step: M })
    }

    /// Images that a thread takes at a time.
    fn images_per_task(&self) -> usize {
        let most = (TILES_AT_A_TIME / (self.rows * self.columns)).max(1);
        let num_tasks = self.shape.batch.div_ceil(most).next_multiple_of(rayon::current_num_threads());
        self.shape.batch.div_ceil(num_tasks).max(1)
    }

    /// Ranges of rows of tiles, at most [`TILES_AT_A_TIME`] tiles each; the rows of `num_images` images are
    /// counted through.
    fn pieces(&self, num_images: usize) -> Vec<Range<usize>> {
        let (total, at_a_time) = (num_images * self.rows, (TILES_AT_A_TIME / self.columns).max(1));
        (0..total).step_by(at_a_time).map(|first| first..(first + at_a_time).min(total)).collect()
    }

    /// Transforms what rows of tiles see of `values` to the values of the tiles.
    fn load<const SIDE: usize, Map: LinearMap<SIDE, POINTS>>(
        &self,
        side: Side,
        values: &[f32],
        rows: Range<usize>,
        band_values: &mut Vec<f32>,
        tiles: &mut Vec<f32>,
    ) {
        let shape = self.tiles(side, rows.len());
        tiles.resize(shape.len(), 0.0);
        for (index, row) in rows.enumerate() {
            let (band, tile_row) = self.row(side, row, shape, index);
            let image = &values[row / self.rows * side.len()..][..side.len()];
            band.load(image, side.size, band_values);
            tile_row.load::<SIDE, Map>(band_values, tiles);
        }
    }

    /// For all tiles of `values` on the side `from`: the products with `matrices`, transformed to the side
    /// `to` and put there.
    fn multiply<const FROM: usize, Load, const TO: usize, Unload>(
        &self,
        (from, values): (Side, &[f32]),
        (to, targets): (Side, &mut [f32]),
        matrices: &PointMatrices,
        scratch: &mut Scratch,
        put: impl Fn(usize, &mut f32, f32),
    ) where
        Load: LinearMap<FROM, POINTS>,
        Unload: LinearMap<POINTS, TO>,
    {
        let Scratch { band: band_values, left, products } = scratch;
        for rows in self.pieces(values.len() / from.len()) {
            self.load::<FROM, Load>(from, values, rows.clone(), band_values, left);
            let (of_left, of_products) = (self.tiles(from, rows.len()), self.tiles(to, rows.len()));
            products.resize(of_products.len(), 0.0);
            let points = left
                .chunks_exact(of_left.point_len())
                .zip(products.chunks_exact_mut(of_products.point_len()));
            for (point, (left, target)) in points.enumerate() {
                let sizes = [of_left.tiles, to.channels, from.channels];
                let left = Matrix::rows(left, of_left.channels);
                multiply(sizes, left, matrices.panels(point), target, of_products.channels, false);
            }
            for (index, row) in rows.enumerate() {
                let (band, tile_row) = self.row(to, row, of_products, index);
                band_values.resize(band.len(), 0.0);
                tile_row.unload::<TO, Unload>(band_values, products);
                let target = &mut targets[row / self.rows * to.len()..][..to.len()];
                band.unload(band_values, target, to.size, &put);
            }
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
    let put =
        |channel: usize, target: &mut f32, value: f32| *target = epilogue.activate(value + bias[channel]);
    convolve_tasks(
        images,
        shape,
        epilogue,
        grid.images_per_task(),
        Scratch::default,
        |scratch, images, maps| {
            let (from, to) = ((grid.images(), images), (grid.maps(), maps));
            grid.multiply::<POINTS, Spread, M, EvaluateTransposed>(from, to, &matrices, scratch, put);
        },
    )
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
    let per_task = grid.images_per_task();
    let mut of_images = vec![0.0; shape.batch * shape.image_len()];
    let tasks = of_images
        .par_chunks_mut(per_task * shape.image_len())
        .zip(of_maps.par_chunks(per_task * shape.maps_len()));
    tasks.for_each_init(Scratch::default, |scratch, (of_images, of_maps)| {
        let (from, to) = ((grid.maps(), of_maps), (grid.images(), of_images));
        let put = |_: usize, target: &mut f32, value: f32| *target += value;
        grid.multiply::<M, Evaluate, POINTS, SpreadTransposed>(from, to, &matrices, scratch, put);
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
            let (mut band, mut of_images, mut gradients) = (Vec::new(), Vec::new(), Vec::new());
            grid.load::<POINTS, Spread>(grid.images(), images, rows.clone(), &mut band, &mut of_images);
            grid.load::<M, Evaluate>(grid.maps(), of_maps, rows.clone(), &mut band, &mut gradients);
            (rows.len(), of_images, gradients)
        };
        let loaded: Vec<_> = pieces.par_iter().map(load).collect();
        let points = of_values.par_chunks_mut(point_len).enumerate();
        points.for_each_init(Vec::new, |panels, (point, of_values)| {
            for (num_rows, of_images, gradients) in &loaded {
                let (images, maps) =
                    (grid.tiles(grid.images(), *num_rows), grid.tiles(grid.maps(), *num_rows));
                panels.resize(panels_len(images.tiles, shape.channels_in), 0.0);
                let right = Matrix::rows(&of_images[point * images.point_len()..], images.channels);
                pack(right, images.tiles, shape.channels_in, panels);
                let left = Matrix::rows(&gradients[point * maps.point_len()..], maps.channels).transposed();
                let sizes = [shape.channels_out, shape.channels_in, maps.tiles];
                multiply(sizes, left, Panels::packed(panels, maps.tiles), of_values, channels_in, true);
            }
        });
    }
    weight_gradient_from_points::<R>(&of_values, shape)
}
