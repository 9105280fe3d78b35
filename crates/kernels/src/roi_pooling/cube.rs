//! The operation and its gradient on GPUs, without atomics.

use burn::backend::ops::IntTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape, TensorData};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::{CubeBackend, CubeDevice};
use cubecl::prelude::*;

use super::MapRegion;
use super::extension::{RoiPoolOps, gradient_on_the_host, on_the_host};
use super::host::parts;

/// Units of a cube.
const CUBE_UNITS: u32 = 64;

impl RoiPoolOps for CubeBackend {
    fn roi_max_pool(
        maps: FloatTensor<Self>,
        regions: Vec<MapRegion>,
        side: usize,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        if maps.dtype != DType::F32 {
            return on_the_host::<Self>(maps, &regions, side);
        }
        let maps = into_contiguous(maps);
        let [channels, height, width] = [1, 2, 3].map(|dim| maps.meta.shape()[dim]);
        let (client, device) = (maps.client.clone(), maps.device.clone());
        // Contiguous: CUDA pads the rows of other new tensors, and the kernel writes one value after another.
        let output = |dtype| {
            let shape = Shape::new([regions.len(), channels, side, side]);
            empty_device_contiguous_dtype(client.clone(), device.clone(), shape, dtype)
        };
        let (maxima, places) = (output(DType::F32), output(DType::I32));
        let num_maxima = regions.len() * channels * side * side;
        if num_maxima == 0 {
            return (maxima, places);
        }
        // Of each region its image, and where its parts begin and end: those of the rows, then those of the
        // columns.
        let bounds = regions.iter().flat_map(|region| {
            let rows = parts(region.top, region.bottom, height, side);
            let columns = parts(region.left, region.right, width, side);
            let bounds = rows.into_iter().chain(columns).flat_map(|(start, end)| [start, end]);
            std::iter::once(region.image).chain(bounds).map(|value| value as i32).collect::<Vec<i32>>()
        });
        let bounds = ints(bounds.collect(), &device);
        let cube_dim = CubeDim::new_1d(CUBE_UNITS);
        // SAFETY: the kernel writes below `num_maxima`, the size of the outputs; `parts` has cut the bounds
        // to the maps, and `roi_max_pool` has checked the images.
        unsafe {
            max_pool_kernel::launch_unchecked(
                &client,
                cubecl::calculate_cube_count_elemwise(&client, num_maxima, cube_dim),
                cube_dim,
                maps.into_buffer_arg(),
                bounds.into_buffer_arg(),
                maxima.clone().into_buffer_arg(),
                places.clone().into_buffer_arg(),
                num_maxima,
                channels,
                height * width,
                width,
                side,
            );
        }
        (maxima, places)
    }

    fn roi_max_pool_backward(
        of_maxima: FloatTensor<Self>,
        places: IntTensor<Self>,
        regions: Vec<MapRegion>,
        side: usize,
        shape: [usize; 4],
    ) -> FloatTensor<Self> {
        if of_maxima.dtype != DType::F32 || places.dtype != DType::I32 {
            return gradient_on_the_host::<Self>(of_maxima, places, &regions, side, shape);
        }
        let [of_maxima, places] = [of_maxima, places].map(into_contiguous);
        let (client, device) = (of_maxima.client.clone(), of_maxima.device.clone());
        let gradient =
            empty_device_contiguous_dtype(client.clone(), device.clone(), Shape::new(shape), DType::F32);
        let [batch, channels, height, width] = shape;
        let num_planes = batch * channels;
        if num_planes * height * width == 0 {
            return gradient;
        }
        let images = ints(regions.iter().map(|region| region.image as i32).collect(), &device);
        let cube_dim = CubeDim::new_1d(CUBE_UNITS);
        // SAFETY: each unit writes its own plane of the gradient; the places were found in planes of this
        // size.
        unsafe {
            gradient_kernel::launch_unchecked(
                &client,
                cubecl::calculate_cube_count_elemwise(&client, num_planes, cube_dim),
                cube_dim,
                of_maxima.into_buffer_arg(),
                places.into_buffer_arg(),
                images.into_buffer_arg(),
                gradient.clone().into_buffer_arg(),
                num_planes,
                channels,
                height * width,
                side * side,
                regions.len(),
            );
        }
        gradient
    }
}

fn ints(values: Vec<i32>, device: &CubeDevice) -> IntTensor<CubeBackend> {
    let shape = [values.len()];
    CubeBackend::int_from_data(TensorData::new(values, shape), device)
}

/// One maximum, and the first place that has it.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "kernels take numbers one by one")]
fn max_pool_kernel(
    maps: &[f32],
    bounds: &[i32],
    maxima: &mut [f32],
    places: &mut [i32],
    num_maxima: usize,
    channels: usize,
    plane_len: usize,
    width: usize,
    side: usize,
) {
    if ABSOLUTE_POS >= num_maxima {
        terminate!();
    }
    let x = ABSOLUTE_POS % side;
    let y = ABSOLUTE_POS / side % side;
    let channel = ABSOLUTE_POS / (side * side) % channels;
    let region = ABSOLUTE_POS / (side * side * channels);
    let of_region = region * (1 + 4 * side);
    let of_row = of_region + 1 + 2 * y;
    let of_column = of_region + 1 + 2 * side + 2 * x;
    let start = (bounds[of_region] as usize * channels + channel) * plane_len;
    let first_column = bounds[of_column] as usize;
    let end_column = bounds[of_column + 1] as usize;
    let end_row = bounds[of_row + 1] as usize;

    let mut row = bounds[of_row] as usize;
    let mut place = row * width + first_column;
    let mut most = maps[start + place];
    while row < end_row {
        let mut column = first_column;
        while column < end_column {
            let value = maps[start + row * width + column];
            if value > most {
                most = value;
                place = row * width + column;
            }
            column += 1;
        }
        row += 1;
    }
    maxima[ABSOLUTE_POS] = most;
    places[ABSOLUTE_POS] = place as i32;
}

/// A plane of the gradient: sums in the order of the regions.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "kernels take numbers one by one")]
fn gradient_kernel(
    of_maxima: &[f32],
    places: &[i32],
    images: &[i32],
    gradient: &mut [f32],
    num_planes: usize,
    channels: usize,
    plane_len: usize,
    part_len: usize,
    num_regions: usize,
) {
    if ABSOLUTE_POS >= num_planes {
        terminate!();
    }
    let image = ABSOLUTE_POS / channels;
    let channel = ABSOLUTE_POS % channels;
    let start = ABSOLUTE_POS * plane_len;
    let mut cell = 0usize;
    while cell < plane_len {
        gradient[start + cell] = 0.0;
        cell += 1;
    }
    let mut region = 0usize;
    while region < num_regions {
        if images[region] as usize == image {
            let first = (region * channels + channel) * part_len;
            let mut part = 0usize;
            while part < part_len {
                gradient[start + places[first + part] as usize] += of_maxima[first + part];
                part += 1;
            }
        }
        region += 1;
    }
}
