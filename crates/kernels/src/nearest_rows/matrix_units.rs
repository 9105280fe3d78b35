//! The search with the matrix units of a GPU: each factor is cut in two halves of 11 bits, and three products
//! are added.
//!
//! A value times a power of two is `high + low` to 21 bits. The product of two low parts is left out, being
//! 2^-20 of the whole. Tiles, and the lists of lowest scores, are those of the search in single precision.

use cubecl::client::Client;
use cubecl::cmma::{self, Matrix, MatrixIdent, MatrixLayout};
use cubecl::features::MmaConfig;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;
use half::f16;

use super::Magnitudes;
use super::lists::{clear, insert, join_second, write};

/// Planes of a cube, and how they share a tile of scores: four beside each other along the rows, two along
/// the entries.
const PLANES: usize = 8;
const ROW_PLANES: usize = 4;
const ENTRY_PLANES: usize = PLANES / ROW_PLANES;

/// Fragments of each plane along the rows and along the entries.
const ROW_FRAGMENTS: usize = 2;
const ENTRY_FRAGMENTS: usize = 4;

/// Binary logarithm of the magnitude that the largest value is scaled to: in the range of halves, and so
/// large that the low parts of all values that matter are normal.
const SCALED_TO: i32 = 14;

/// Most bits of a power of two that is multiplied with.
const LARGEST_EXPONENT: i32 = 60;

/// Sizes of what the matrix units of a device multiply at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MatrixUnits {
    /// Rows, columns and depth of a fragment.
    fragment: usize,
    plane: usize,
}

impl MatrixUnits {
    /// Those of a device that multiplies halves and adds in single precision.
    pub(super) fn of(client: &Client) -> Option<Self> {
        let properties = client.properties();
        let hardware = &properties.hardware;
        if hardware.plane_size_min != hardware.plane_size_max {
            return None;
        }
        let plane = hardware.plane_size_max as usize;
        let (half, single) = (ElemType::Float(FloatKind::F16), ElemType::Float(FloatKind::F32));
        [16_u32, 8].into_iter().find_map(|size| {
            let config = MmaConfig { a_type: half, b_type: half, cd_type: single, m: size, n: size, k: size };
            let units = Self { fragment: size as usize, plane };
            let is_known = properties.features.matmul.cmma.contains(&config);
            // A row has one list, or two.
            let has_lists = plane == size as usize || plane == 2 * size as usize;
            let fits = hardware.max_units_per_cube as usize >= PLANES * plane
                && hardware.max_shared_memory_size >= units.shared_bytes(super::MAX_NEAREST_ROWS);
            (is_known && has_lists && fits).then_some(units)
        })
    }

    /// Rows of a tile, of either matrix.
    pub(super) fn tile(self) -> usize {
        ROW_PLANES * ROW_FRAGMENTS * self.fragment
    }

    /// Units of a cube.
    pub(super) fn units(self) -> usize {
        PLANES * self.plane
    }

    fn lists(self) -> usize {
        self.units() / self.tile()
    }

    fn shared_bytes(self, count: usize) -> usize {
        let halves = 4 * self.tile() * padded(self.fragment);
        let staged = ENTRY_PLANES * self.fragment * self.tile();
        2 * halves + 4 * (staged.max(self.tile() * count) + self.tile() * count)
    }
}

/// Halves from one row of shared memory to the next: not a power of two, so that rows lie in different banks.
const fn padded(fragment: usize) -> usize {
    fragment + 8
}

/// Scales of the values; `None` where these are too large or too small to be scaled.
pub(super) fn scales(magnitudes: Magnitudes) -> Option<[f32; 2]> {
    let exponent = |largest: f32| {
        let exponent = SCALED_TO - if largest > 0.0 { largest.log2().ceil() as i32 } else { 0 };
        (largest.is_finite() && exponent.abs() <= LARGEST_EXPONENT).then_some(exponent)
    };
    let (rows, database) = (exponent(magnitudes.rows)?, exponent(magnitudes.database)?);
    Some([(rows as f32).exp2(), (database as f32).exp2()])
}

/// Inputs and outputs of the search.
pub(super) struct Buffers {
    pub(super) rows: BufferArg,
    pub(super) database: BufferArg,
    pub(super) half_norms: BufferArg,
    pub(super) indices: BufferArg,
    pub(super) scores: BufferArg,
}

/// Starts the search; `sizes` are the numbers of rows, of entries and of dimensions.
pub(super) fn launch(
    client: &Client,
    units: MatrixUnits,
    buffers: Buffers,
    sizes: [usize; 3],
    count: usize,
    [row_scale, entry_scale]: [f32; 2],
) {
    let cube_dim = CubeDim::new_1d(units.units() as u32);
    let num_units = sizes[0].div_ceil(units.tile()) * units.units();
    // SAFETY: the kernel reads below the numbers of rows, entries and dimensions, the sizes of the inputs,
    // and writes `count` values for each row below their number, the size of the outputs; in shared memory
    // every index is below a constant.
    unsafe {
        search_kernel::launch_unchecked(
            client,
            cubecl::calculate_cube_count_elemwise(client, num_units, cube_dim),
            cube_dim,
            buffers.rows,
            buffers.database,
            buffers.half_norms,
            buffers.indices,
            buffers.scores,
            sizes[0],
            sizes[1],
            sizes[2],
            row_scale,
            entry_scale,
            1.0 / (row_scale * entry_scale),
            count,
            units.fragment,
            units.plane,
            units.lists(),
        );
    }
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "kernels take numbers one by one")]
fn search_kernel(
    rows: &[f32],
    database: &[f32],
    half_norms: &[f32],
    indices: &mut [i32],
    scores: &mut [f32],
    num_rows: usize,
    num_entries: usize,
    dim: usize,
    row_scale: f32,
    entry_scale: f32,
    inverse_scale: f32,
    #[comptime] count: usize,
    #[comptime] fragment: usize,
    #[comptime] plane_size: usize,
    #[comptime] lists: usize,
) {
    let tile = comptime!(ROW_PLANES * ROW_FRAGMENTS * fragment);
    let stride = comptime!(padded(fragment));
    let units = comptime!(PLANES * plane_size);
    // Columns of scores that are in shared memory at a time.
    let staged = comptime!(ENTRY_PLANES * fragment);
    let shared_scores = comptime!(if staged > count { staged * tile } else { count * tile });

    let first_row = CUBE_POS * tile;
    if first_row >= num_rows {
        terminate!();
    }
    let mut row_high = Shared::<[f16]>::new_slice(tile * stride);
    let mut row_low = Shared::<[f16]>::new_slice(tile * stride);
    let mut entry_high = Shared::<[f16]>::new_slice(tile * stride);
    let mut entry_low = Shared::<[f16]>::new_slice(tile * stride);
    let mut stage = Shared::<[f32]>::new_slice(shared_scores);
    let mut shared_indices = Shared::<[i32]>::new_slice(tile * count);

    let unit = UNIT_POS as usize;
    let plane = unit / plane_size;
    let row_of_plane = plane % ROW_PLANES * (ROW_FRAGMENTS * fragment);
    let entry_of_plane = plane / ROW_PLANES * (ENTRY_FRAGMENTS * fragment);
    let listed_row = unit % tile;
    let list = unit / tile;

    let mut best_scores = Array::<f32>::new(count);
    let mut best_indices = Array::<i32>::new(count);
    clear(&mut best_scores, &mut best_indices, count);

    let mut first_entry = 0usize;
    while first_entry < num_entries {
        let mut products = Sequence::<Matrix<f32>>::new();
        #[unroll]
        for _ in 0..ROW_FRAGMENTS * ENTRY_FRAGMENTS {
            products.push(Matrix::<f32>::from_value(
                MatrixIdent::Accumulator,
                fragment,
                fragment,
                fragment,
                MatrixLayout::Undefined,
                0.0,
            ));
        }
        let mut first_dim = 0usize;
        while first_dim < dim {
            sync_cube();
            load_halves(
                rows,
                &mut row_high,
                &mut row_low,
                first_row,
                num_rows,
                first_dim,
                dim,
                row_scale,
                fragment,
                tile,
                units,
            );
            load_halves(
                database,
                &mut entry_high,
                &mut entry_low,
                first_entry,
                num_entries,
                first_dim,
                dim,
                entry_scale,
                fragment,
                tile,
                units,
            );
            sync_cube();
            #[unroll]
            for i in 0..ROW_FRAGMENTS {
                let row_start = (row_of_plane + i * fragment) * stride;
                let row_end = row_start + fragment * stride;
                let high = Matrix::<f16>::from_slice(
                    MatrixIdent::A,
                    fragment,
                    fragment,
                    fragment,
                    MatrixLayout::RowMajor,
                    &row_high[row_start..row_end],
                    comptime!(stride as u32),
                );
                let low = Matrix::<f16>::from_slice(
                    MatrixIdent::A,
                    fragment,
                    fragment,
                    fragment,
                    MatrixLayout::RowMajor,
                    &row_low[row_start..row_end],
                    comptime!(stride as u32),
                );
                #[unroll]
                for j in 0..ENTRY_FRAGMENTS {
                    let entry_start = (entry_of_plane + j * fragment) * stride;
                    let entry_end = entry_start + fragment * stride;
                    let of_entry_high = Matrix::<f16>::from_slice(
                        MatrixIdent::B,
                        fragment,
                        fragment,
                        fragment,
                        MatrixLayout::ColMajor,
                        &entry_high[entry_start..entry_end],
                        comptime!(stride as u32),
                    );
                    let of_entry_low = Matrix::<f16>::from_slice(
                        MatrixIdent::B,
                        fragment,
                        fragment,
                        fragment,
                        MatrixLayout::ColMajor,
                        &entry_low[entry_start..entry_end],
                        comptime!(stride as u32),
                    );
                    let product = products.index(comptime!(i * ENTRY_FRAGMENTS + j));
                    cmma::execute(&low, &of_entry_high, product, product);
                    cmma::execute(&high, &of_entry_low, product, product);
                    cmma::execute(&high, &of_entry_high, product, product);
                }
            }
            first_dim += fragment;
        }

        // One column of fragments of each plane at a time.
        #[unroll]
        for j in 0..ENTRY_FRAGMENTS {
            sync_cube();
            #[unroll]
            for i in 0..ROW_FRAGMENTS {
                // Each column of scores lies together.
                let start = plane / ROW_PLANES * fragment * tile + row_of_plane + i * fragment;
                cmma::store(
                    &mut stage[start..shared_scores],
                    products.index(comptime!(i * ENTRY_FRAGMENTS + j)),
                    comptime!(tile as u32),
                    MatrixLayout::ColMajor,
                );
            }
            sync_cube();
            for column in 0..staged / lists {
                let column = list * (staged / lists) + column;
                let entry = first_entry
                    + column / fragment * (ENTRY_FRAGMENTS * fragment)
                    + j * fragment
                    + column % fragment;
                // Entries beyond the last row must never win.
                if entry < num_entries {
                    let score = half_norms[entry] - stage[column * tile + listed_row] * inverse_scale;
                    if score < best_scores[count - 1] {
                        insert(&mut best_scores, &mut best_indices, score, entry as i32, count);
                    }
                }
            }
        }
        first_entry += tile;
    }

    if comptime!(lists == 2) {
        join_second(
            &mut best_scores,
            &mut best_indices,
            &mut stage,
            &mut shared_indices,
            list,
            listed_row,
            tile,
            count,
        );
    }
    let row = first_row + listed_row;
    if list == 0 && row < num_rows {
        write(&best_scores, &best_indices, scores, indices, row, count);
    }
}

/// Writes the parts of rows from `first_row` on to shared memory, `[tile, fragment]` padded; zeros beyond the
/// end.
#[cube]
#[allow(clippy::too_many_arguments, reason = "kernels take numbers one by one")]
fn load_halves(
    matrix: &[f32],
    high: &mut Shared<[f16]>,
    low: &mut Shared<[f16]>,
    first_row: usize,
    num_rows: usize,
    first_dim: usize,
    dim: usize,
    scale: f32,
    #[comptime] fragment: usize,
    #[comptime] tile: usize,
    #[comptime] units: usize,
) {
    #[unroll]
    for step in 0..tile * fragment / units {
        let place = step * units + UNIT_POS as usize;
        let row = place / fragment;
        let depth = place % fragment;
        let mut value = 0.0f32;
        if first_row + row < num_rows && first_dim + depth < dim {
            value = matrix[(first_row + row) * dim + first_dim + depth] * scale;
        }
        // Cut by its bits: what a compiler knows of conversions it may cancel.
        let of_high = f32::reinterpret(u32::reinterpret(value) & 0xffff_e000u32);
        high[row * comptime!(padded(fragment)) + depth] = f16::cast_from(of_high);
        low[row * comptime!(padded(fragment)) + depth] = f16::cast_from(value - of_high);
    }
}
