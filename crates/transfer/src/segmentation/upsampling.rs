//! Scores of a coarse grid for every pixel.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_models::MapGeometry;

/// Interpolates `[classes, h, w]` linearly in both directions, as the fixed deconvolution of a fully
/// convolutional network does: `[classes, height, width]` of `size`. The cells lie in an image of the size
/// `input` as `geometry` says, and the result covers all of that image; beyond the outermost cells it is
/// constant.
pub(super) fn upsample(
    scores: Tensor<3>,
    geometry: MapGeometry,
    input: (usize, usize),
    size: (usize, usize),
) -> Tensor<3> {
    let [num_classes, height, width] = scores.dims();
    let device = scores.device();
    let rows = weights(geometry, height, input.0, size.0, &device); // [size.0, height]
    let columns = weights(geometry, width, input.1, size.1, &device); // [size.1, width]
    let wide: Tensor<2> = scores.reshape([num_classes * height, width]).matmul(columns.transpose());
    let wide: Tensor<3> = wide.reshape([num_classes, height, size.1]);
    rows.unsqueeze::<3>().expand([num_classes, size.0, height]).matmul(wide)
}

/// Weights `[num_pixels, num_cells]` of the cells for each of the pixels, which cover `input_len` pixels of
/// the input.
fn weights(
    geometry: MapGeometry,
    num_cells: usize,
    input_len: usize,
    num_pixels: usize,
    device: &Device,
) -> Tensor<2> {
    let mut values = vec![0.0_f32; num_pixels * num_cells];
    for (pixel, row) in values.chunks_exact_mut(num_cells).enumerate() {
        let place = (pixel as f64 + 0.5) * input_len as f64 / num_pixels as f64 - 0.5;
        let cell = ((place - geometry.first) / geometry.stride).clamp(0.0, (num_cells - 1) as f64);
        let first = (cell as usize).min(num_cells.saturating_sub(2));
        let share = (cell - first as f64) as f32;
        row[first] += 1.0 - share;
        if num_cells > 1 {
            row[first + 1] += share;
        }
    }
    Tensor::from_data(TensorData::new(values, [num_pixels, num_cells]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_stay_planes() {
        // Score = 2 * column of the pixel + row, sampled at the cells: interpolation restores it between
        // them.
        let geometry = MapGeometry { stride: 4.0, first: 1.5 };
        let plane = |row: f64, column: f64| (2.0 * column + row) as f32;
        let at = |index: usize| geometry.first + index as f64 * geometry.stride;
        let cells: Vec<f32> =
            (0..5).flat_map(|row| (0..6).map(move |column| plane(at(row), at(column)))).collect();
        let scores = Tensor::<3>::from_data(TensorData::new(cells, [1, 5, 6]), &Device::flex());
        let pixels = upsample(scores.clone(), geometry, (20, 24), (20, 24));
        let pixels: Vec<f32> = pixels.into_data().try_to_vec().unwrap();
        for row in 2..17 {
            for column in 2..21 {
                let found = pixels[row * 24 + column];
                assert!((found - plane(row as f64, column as f64)).abs() < 1e-4, "{row} {column} {found}");
            }
        }
        // Twice as many pixels for the same image: their centres lie at halves.
        let pixels: Vec<f32> =
            upsample(scores, geometry, (20, 24), (40, 48)).into_data().try_to_vec().unwrap();
        let found = pixels[21 * 48 + 17];
        assert!((found - plane(10.25, 8.25)).abs() < 1e-4, "{found}");
    }

    #[test]
    fn one_cell_is_everywhere() {
        let scores = Tensor::<3>::from_data([[[3.0]], [[4.0]]], &Device::flex());
        let geometry = MapGeometry { stride: 32.0, first: 47.0 };
        let pixels = upsample(scores, geometry, (9, 9), (2, 3));
        let pixels: Vec<f32> = pixels.into_data().try_to_vec().unwrap();
        assert_eq!(pixels, [[3.0; 6], [4.0; 6]].concat());
    }
}
