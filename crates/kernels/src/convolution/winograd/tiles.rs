//! Rows of tiles from bands, and back.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::transforms::{LinearMap, POINTS, in_two_directions};

/// Values of a cache line, which lie between matrices: without them those of all points would share the same
/// places in the caches.
pub(super) const LINE: usize = 16;

/// The values of some tiles, `[points, points, tiles, channels]`: one matrix for each pair of points.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileShape {
    pub(super) tiles: usize,
    /// Channels with their padding.
    pub(super) channels: usize,
}

impl TileShape {
    /// Values of the matrix of a pair of points, and a line.
    pub(super) fn point_len(&self) -> usize {
        self.tiles * self.channels + LINE
    }

    /// Values of all.
    pub(super) fn len(&self) -> usize {
        POINTS * POINTS * self.point_len()
    }
}

/// A row of tiles and its band.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileRow {
    /// The tiles it is one row of.
    pub(super) shape: TileShape,
    /// Its first tile, and how many they are.
    pub(super) first: usize,
    pub(super) len: usize,
    /// Columns of the band.
    pub(super) width: usize,
    /// Columns from one tile to the next.
    pub(super) step: usize,
}

impl TileRow {
    /// Transforms the squares of `SIDE x SIDE` pixels of a band to the values of its tiles.
    pub(super) fn load<const SIDE: usize, Map: LinearMap<SIDE, POINTS>>(
        self,
        band: &[f32],
        tiles: &mut [f32],
    ) {
        Arch::new().dispatch(Load::<SIDE, Map> { row: self, band, tiles, map: PhantomData });
    }

    /// Transforms the values of its tiles to squares of `SIDE x SIDE` pixels, whose sums where they overlap
    /// become the band.
    pub(super) fn unload<const SIDE: usize, Map: LinearMap<POINTS, SIDE>>(
        self,
        band: &mut [f32],
        tiles: &[f32],
    ) {
        if SIDE > self.step {
            band.fill(0.0);
        }
        Arch::new().dispatch(Unload::<SIDE, Map> { row: self, tiles, band, map: PhantomData });
    }
}

struct Load<'a, const SIDE: usize, Map> {
    row: TileRow,
    band: &'a [f32],
    tiles: &'a mut [f32],
    map: PhantomData<Map>,
}

impl<const SIDE: usize, Map: LinearMap<SIDE, POINTS>> WithSimd for Load<'_, SIDE, Map> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (band, tiles) = (S::as_simd_f32s(self.band).0, S::as_mut_simd_f32s(self.tiles).0);
        let vectors = self.row.shape.channels / S::F32_LANES;
        let point_step = self.row.shape.point_len() / S::F32_LANES;
        for index in 0..self.row.len {
            let band = &band[index * self.row.step * vectors..];
            let tile = &mut tiles[(self.row.first + index) * vectors..];
            for vector in 0..vectors {
                let mut square = [[simd.splat_f32s(0.0); SIDE]; SIDE];
                for y in 0..SIDE {
                    for x in 0..SIDE {
                        square[y][x] = band[(y * self.row.width + x) * vectors + vector];
                    }
                }
                let values = in_two_directions::<S, Map, SIDE, POINTS>(simd, square);
                for y in 0..POINTS {
                    for x in 0..POINTS {
                        tile[(y * POINTS + x) * point_step + vector] = values[y][x];
                    }
                }
            }
        }
    }
}

struct Unload<'a, const SIDE: usize, Map> {
    row: TileRow,
    tiles: &'a [f32],
    band: &'a mut [f32],
    map: PhantomData<Map>,
}

impl<const SIDE: usize, Map: LinearMap<POINTS, SIDE>> WithSimd for Unload<'_, SIDE, Map> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (tiles, band) = (S::as_simd_f32s(self.tiles).0, S::as_mut_simd_f32s(self.band).0);
        let vectors = self.row.shape.channels / S::F32_LANES;
        let point_step = self.row.shape.point_len() / S::F32_LANES;
        for index in 0..self.row.len {
            let band = &mut band[index * self.row.step * vectors..];
            let tile = &tiles[(self.row.first + index) * vectors..];
            for vector in 0..vectors {
                let mut values = [[simd.splat_f32s(0.0); POINTS]; POINTS];
                for y in 0..POINTS {
                    for x in 0..POINTS {
                        values[y][x] = tile[(y * POINTS + x) * point_step + vector];
                    }
                }
                let square = in_two_directions::<S, Map, POINTS, SIDE>(simd, values);
                for y in 0..SIDE {
                    for x in 0..SIDE {
                        let target = &mut band[(y * self.row.width + x) * vectors + vector];
                        // Most bands have no overlaps, and then nothing is read.
                        *target = if SIDE > self.row.step {
                            simd.add_f32s(*target, square[y][x])
                        } else {
                            square[y][x]
                        };
                    }
                }
            }
        }
    }
}
