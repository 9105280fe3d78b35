//! The sums on GPUs: a unit for each dimension of a segment, without atomics.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use cubecl::prelude::*;

use super::extension::{SegmentSumsOps, on_the_host};

/// Units of a cube.
const CUBE_UNITS: u32 = 64;

impl SegmentSumsOps for CubeBackend {
    fn segment_sums(
        rows: FloatTensor<Self>,
        order: IntTensor<Self>,
        starts: IntTensor<Self>,
        scales: FloatTensor<Self>,
        low_bits: u32,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        let are_floats = [&rows, &scales].iter().all(|tensor| tensor.dtype == DType::F32);
        let are_ints = [&order, &starts].iter().all(|tensor| tensor.dtype == DType::I32);
        if !are_floats || !are_ints {
            return on_the_host::<Self>(rows, order, starts, scales, low_bits);
        }
        let [rows, scales] = [rows, scales].map(into_contiguous);
        let [order, starts] = [order, starts].map(into_contiguous);
        let (num_segments, dim) = (starts.meta.shape()[0].saturating_sub(1), rows.meta.shape()[1]);
        let client = rows.client.clone();
        // Contiguous: CUDA pads the rows of other new tensors, and the kernel writes one value after another.
        let output = || {
            let shape = Shape::new([num_segments, dim]);
            empty_device_contiguous_dtype(client.clone(), rows.device.clone(), shape, DType::I32)
        };
        let (high, low) = (output(), output());
        if num_segments * dim == 0 {
            return (high, low);
        }
        let cube_dim = CubeDim::new_1d(CUBE_UNITS);
        // SAFETY: the kernel writes below `num_segments * dim`, the size of the outputs, and reads the rows
        // that `order` names, which the caller has seen to.
        unsafe {
            segment_sums_kernel::launch_unchecked(
                &client,
                cubecl::calculate_cube_count_elemwise(&client, num_segments * dim, cube_dim),
                cube_dim,
                rows.into_buffer_arg(),
                order.into_buffer_arg(),
                starts.into_buffer_arg(),
                scales.into_buffer_arg(),
                high.clone().into_buffer_arg(),
                low.clone().into_buffer_arg(),
                num_segments * dim,
                dim,
                (1_u32 << low_bits) as f32,
            );
        }
        (high, low)
    }
}

/// One dimension of one segment: neighbouring units read neighbouring values of the same rows.
///
/// Every operation is exact, but for the one rounding, so that no compiler can change the result by another
/// order.
#[cube(launch_unchecked)]
fn segment_sums_kernel(
    rows: &[f32],
    order: &[i32],
    starts: &[i32],
    scales: &[f32],
    high: &mut [i32],
    low: &mut [i32],
    num_sums: usize,
    dim: usize,
    low_scale: f32,
) {
    if ABSOLUTE_POS >= num_sums {
        terminate!();
    }
    let segment = ABSOLUTE_POS / dim;
    let column = ABSOLUTE_POS % dim;
    let scale = scales[column];
    let mut high_sum = 0i32;
    let mut low_sum = 0i32;
    let mut place = starts[segment] as usize;
    let end = starts[segment + 1] as usize;
    while place < end {
        let scaled = rows[order[place] as usize * dim + column] * scale;
        let whole = i32::cast_from(scaled);
        high_sum += whole;
        low_sum += round_ties_even((scaled - f32::cast_from(whole)) * low_scale);
        place += 1;
    }
    high[ABSOLUTE_POS] = high_sum;
    low[ABSOLUTE_POS] = low_sum;
}

/// The nearest integer, the even one of two.
#[cube]
fn round_ties_even(value: f32) -> i32 {
    let whole = i32::cast_from(value);
    let rest = value - f32::cast_from(whole);
    let half = f32::new(0.5);
    let is_odd = whole % 2 != 0;
    let mut rounded = whole;
    if rest > half || (rest == half && is_odd) {
        rounded += 1;
    }
    if -rest > half || (-rest == half && is_odd) {
        rounded -= 1;
    }
    rounded
}
