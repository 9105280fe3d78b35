//! The search on GPUs, in single precision: inner products, tile by tile, and the lowest scores of each row
//! in one kernel.
//!
//! A cube of 256 units keeps 128 rows and lets the database pass by in tiles of 128 rows. Each unit adds up
//! 64 inner products in registers. The scores of a tile go through shared memory, a quarter at a time, to the
//! two units that keep the list of each row; with hundreds of dimensions that is little beside the products.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use cubecl::prelude::*;

use super::Magnitudes;
use super::extension::{NearestRowsOps, on_the_host};
use super::lists::{clear, insert, join_second, write};
use super::matrix_units::{self, Buffers, MatrixUnits};

/// Rows of a tile, of either matrix.
const TILE: usize = 128;

/// Dimensions that are in shared memory at a time.
const DEPTH: usize = 16;

/// Units along each side of a tile, and the products of each unit along it.
const UNITS: usize = 16;
const PRODUCTS: usize = TILE / UNITS;

/// Units of a cube, two for each row.
const CUBE_UNITS: usize = UNITS * UNITS;

/// Columns of a tile whose scores are in shared memory at a time, so that they fit where the inputs were.
const STAGED: usize = 2 * DEPTH;

impl NearestRowsOps for CubeBackend {
    fn nearest_rows(
        rows: FloatTensor<Self>,
        database: FloatTensor<Self>,
        half_norms: FloatTensor<Self>,
        count: usize,
        magnitudes: Option<Magnitudes>,
    ) -> (IntTensor<Self>, FloatTensor<Self>) {
        let client = rows.client.clone();
        let hardware = &client.properties().hardware;
        let shared_bytes = 4 * (2 * TILE * DEPTH + TILE * count);
        let fits = hardware.max_units_per_cube as usize >= CUBE_UNITS
            && hardware.max_shared_memory_size >= shared_bytes;
        let is_f32 = [&rows, &database, &half_norms].iter().all(|tensor| tensor.dtype == DType::F32);
        if !fits || !is_f32 {
            return on_the_host::<Self>(rows, database, half_norms, count);
        }
        let [rows, database, half_norms] = [rows, database, half_norms].map(into_contiguous);
        let (num_rows, dim) = (rows.meta.shape()[0], rows.meta.shape()[1]);
        let num_entries = database.meta.shape()[0];
        // Contiguous: CUDA pads the rows of other new tensors, and the kernel writes one value after another.
        let output = |dtype| {
            let shape = Shape::new([num_rows, count]);
            empty_device_contiguous_dtype(client.clone(), rows.device.clone(), shape, dtype)
        };
        let (indices, scores) = (output(DType::I32), output(DType::F32));
        if let Some((units, scales)) = MatrixUnits::of(&client).zip(magnitudes.and_then(matrix_units::scales))
        {
            let buffers = Buffers {
                rows: rows.into_buffer_arg(),
                database: database.into_buffer_arg(),
                half_norms: half_norms.into_buffer_arg(),
                indices: indices.clone().into_buffer_arg(),
                scores: scores.clone().into_buffer_arg(),
            };
            matrix_units::launch(&client, units, buffers, [num_rows, num_entries, dim], count, scales);
            return (indices, scores);
        }
        let cube_dim = CubeDim::new_1d(CUBE_UNITS as u32);
        let num_units = num_rows.div_ceil(TILE) * CUBE_UNITS;
        // SAFETY: the kernel reads below `num_rows`, `num_entries` and `dim`, the sizes of the inputs, and
        // writes `count` values for each row below `num_rows`, the size of the outputs; in shared memory
        // every index is below a constant.
        unsafe {
            nearest_rows_kernel::launch_unchecked(
                &client,
                cubecl::calculate_cube_count_elemwise(&client, num_units, cube_dim),
                cube_dim,
                rows.into_buffer_arg(),
                database.into_buffer_arg(),
                half_norms.into_buffer_arg(),
                indices.clone().into_buffer_arg(),
                scores.clone().into_buffer_arg(),
                num_rows,
                num_entries,
                dim,
                count,
            );
        }
        (indices, scores)
    }
}

/// Numbers and scores of the best database rows of 128 rows.
#[cube(launch_unchecked)]
fn nearest_rows_kernel(
    rows: &[f32],
    database: &[f32],
    half_norms: &[f32],
    indices: &mut [i32],
    scores: &mut [f32],
    num_rows: usize,
    num_entries: usize,
    dim: usize,
    #[comptime] count: usize,
) {
    let first_row = CUBE_POS * TILE;
    if first_row >= num_rows {
        terminate!();
    }
    // A tile of each matrix, `[DEPTH, TILE]`, or the scores of some columns, `[STAGED, TILE]`.
    let mut shared = Shared::<[f32]>::new_slice(2 * DEPTH * TILE);
    let mut shared_indices = Shared::<[i32]>::new_slice(TILE * count);

    // The place of the unit in a tile; and the row, and the half of the columns, whose scores it looks at.
    let unit = UNIT_POS as usize;
    let unit_row = unit / UNITS;
    let unit_column = unit % UNITS;
    let listed_row = unit % TILE;
    let half = unit / TILE;

    let mut best_scores = Array::<f32>::new(count);
    let mut best_indices = Array::<i32>::new(count);
    clear(&mut best_scores, &mut best_indices, count);

    let mut products = Array::<f32>::new(PRODUCTS * PRODUCTS);
    let mut first_entry = 0usize;
    while first_entry < num_entries {
        #[unroll]
        for product in 0..PRODUCTS * PRODUCTS {
            products[product] = 0.0;
        }
        let mut first_dim = 0usize;
        while first_dim < dim {
            sync_cube();
            load_tile(rows, &mut shared, 0usize, first_row, num_rows, first_dim, dim);
            load_tile(database, &mut shared, DEPTH * TILE, first_entry, num_entries, first_dim, dim);
            sync_cube();
            for depth in 0..DEPTH {
                let mut row_values = Array::<f32>::new(PRODUCTS);
                let mut entry_values = Array::<f32>::new(PRODUCTS);
                #[unroll]
                for i in 0..PRODUCTS {
                    row_values[i] = shared[depth * TILE + unit_row + i * UNITS];
                    entry_values[i] = shared[(DEPTH + depth) * TILE + unit_column + i * UNITS];
                }
                #[unroll]
                for i in 0..PRODUCTS {
                    #[unroll]
                    for j in 0..PRODUCTS {
                        products[i * PRODUCTS + j] =
                            fma(row_values[i], entry_values[j], products[i * PRODUCTS + j]);
                    }
                }
            }
            first_dim += DEPTH;
        }

        #[unroll]
        for stage in 0..TILE / STAGED {
            sync_cube();
            #[unroll]
            for pair in 0..STAGED / UNITS {
                let entry = first_entry + stage * STAGED + pair * UNITS + unit_column;
                // Entries beyond the last row must never win.
                let mut half_norm = f32::new(f32::MAX);
                if entry < num_entries {
                    half_norm = half_norms[entry];
                }
                #[unroll]
                for i in 0..PRODUCTS {
                    shared[(pair * UNITS + unit_column) * TILE + unit_row + i * UNITS] =
                        half_norm - products[i * PRODUCTS + stage * (STAGED / UNITS) + pair];
                }
            }
            sync_cube();
            for column in 0..STAGED / 2 {
                let staged = half * (STAGED / 2) + column;
                let score = shared[staged * TILE + listed_row];
                if score < best_scores[count - 1] {
                    insert(
                        &mut best_scores,
                        &mut best_indices,
                        score,
                        (first_entry + stage * STAGED + staged) as i32,
                        count,
                    );
                }
            }
        }
        first_entry += TILE;
    }

    join_second(
        &mut best_scores,
        &mut best_indices,
        &mut shared,
        &mut shared_indices,
        half,
        listed_row,
        TILE,
        count,
    );
    let row = first_row + listed_row;
    if half == 0 && row < num_rows {
        write(&best_scores, &best_indices, scores, indices, row, count);
    }
}

/// Writes rows from `first_row` on, of which each unit takes eight values, to `shared`, `[DEPTH, TILE]` from
/// `offset` on; zeros beyond the end.
#[cube]
fn load_tile(
    matrix: &[f32],
    shared: &mut Shared<[f32]>,
    offset: usize,
    first_row: usize,
    num_rows: usize,
    first_dim: usize,
    dim: usize,
) {
    let unit = UNIT_POS as usize;
    let row = unit / 2;
    let first_depth = unit % 2 * (DEPTH / 2);
    #[unroll]
    for i in 0..DEPTH / 2 {
        let depth = first_depth + i;
        let mut value = 0.0f32;
        if first_row + row < num_rows && first_dim + depth < dim {
            value = matrix[(first_row + row) * dim + first_dim + depth];
        }
        shared[offset + depth * TILE + row] = value;
    }
}
