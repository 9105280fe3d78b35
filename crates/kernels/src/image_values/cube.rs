//! The values on GPUs: a unit for each.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use cubecl::prelude::*;

use super::ByteScale;
use super::extension::{ImageValuesOps, on_the_host};

/// Units of a cube.
const CUBE_UNITS: u32 = 256;

impl ImageValuesOps for CubeBackend {
    fn image_values(
        words: IntTensor<Self>,
        flips: IntTensor<Self>,
        size: usize,
        scale: ByteScale,
    ) -> FloatTensor<Self> {
        if words.dtype != DType::I32 || flips.dtype != DType::I32 {
            return on_the_host::<Self>(words, flips, size, scale);
        }
        let [words, flips] = [words, flips].map(into_contiguous);
        let num_images = flips.meta.shape()[0];
        let client = words.client.clone();
        let shape = Shape::new([num_images, 3, size, size]);
        // Contiguous: CUDA pads the rows of other new tensors, and the kernel writes one value after another.
        let values = empty_device_contiguous_dtype(client.clone(), words.device.clone(), shape, DType::F32);
        let num_values = num_images * 3 * size * size;
        if num_values == 0 {
            return values;
        }
        let cube_dim = CubeDim::new_1d(CUBE_UNITS);
        let ByteScale { factors, offsets } = scale;
        // SAFETY: the kernel writes below `num_values`, the size of the output, and reads the byte of each,
        // of which `image_values` has counted as many.
        unsafe {
            image_values_kernel::launch_unchecked(
                &client,
                cubecl::calculate_cube_count_elemwise(&client, num_values, cube_dim),
                cube_dim,
                words.into_buffer_arg(),
                flips.into_buffer_arg(),
                values.clone().into_buffer_arg(),
                num_values,
                size,
                factors[0],
                factors[1],
                factors[2],
                offsets[0],
                offsets[1],
                offsets[2],
            );
        }
        values
    }
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "kernels take numbers one by one")]
fn image_values_kernel(
    words: &[i32],
    flips: &[i32],
    values: &mut [f32],
    num_values: usize,
    size: usize,
    red_factor: f32,
    green_factor: f32,
    blue_factor: f32,
    red_offset: f32,
    green_offset: f32,
    blue_offset: f32,
) {
    if ABSOLUTE_POS >= num_values {
        terminate!();
    }
    let plane = size * size;
    let image = ABSOLUTE_POS / (3 * plane);
    let channel = ABSOLUTE_POS / plane % 3;
    let row = ABSOLUTE_POS % plane / size;
    let mut column = ABSOLUTE_POS % size;
    if flips[image] != 0 {
        column = size - 1 - column;
    }
    let place = ((image * size + row) * size + column) * 3 + channel;
    let word = u32::cast_from(words[place / 4]);
    let shift = u32::cast_from(place % 4) * 8u32;
    let byte = f32::cast_from((word >> shift) & 255u32);
    let mut factor = red_factor;
    let mut offset = red_offset;
    if channel == 1 {
        factor = green_factor;
        offset = green_offset;
    }
    if channel == 2 {
        factor = blue_factor;
        offset = blue_offset;
    }
    values[ABSOLUTE_POS] = byte * factor + offset;
}
