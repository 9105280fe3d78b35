//! Max-pooling of regions of interest.

#[cfg(feature = "gpu")]
mod cube;
mod extension;
mod host;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use extension::RoiPoolOps;

/// Cells of a map that belong to a region, the last row and column inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRegion {
    /// Number of the image in the batch.
    pub image: usize,
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Last row; below `top` counts as `top`.
    pub bottom: usize,
    /// Last column; left of `left` counts as `left`.
    pub right: usize,
}

/// The maxima of `side x side` nearly equal parts of each region (Fast R-CNN, section 2.1), `[regions,
/// channels, side, side]`, of maps `[batch, channels, height, width]`.
///
/// Part `i` of `n` rows reaches from row `floor(i n / side)` to `ceil((i + 1) n / side)`, so that
/// neighbouring parts may share a row and none is empty; columns likewise. The gradient of a part goes to the
/// first of its maxima. What reaches over the edge of the map is cut off.
///
/// # Panics
/// If `side` is 0, or a region names an image that is not in the batch.
pub fn roi_max_pool(maps: Tensor<4>, regions: &[MapRegion], side: usize) -> Tensor<4> {
    let [batch, channels, height, width] = maps.dims();
    assert!(side > 0, "regions are pooled to at least one value");
    assert!(regions.iter().all(|region| region.image < batch), "every region lies in an image of the batch");
    if regions.is_empty() || height == 0 || width == 0 {
        return Tensor::zeros([regions.len(), channels, side, side], &maps.device());
    }
    let (pooled, _) = Dispatch::roi_max_pool(maps.into_dispatch(), regions.to_vec(), side);
    Tensor::from_dispatch(pooled)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn maps(values: &[f32], shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    }

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn region(image: usize, [top, left, bottom, right]: [usize; 4]) -> MapRegion {
        MapRegion { image, top, left, bottom, right }
    }

    /// The definition, cell by cell: the maximum of each part, and the gradient of `sum(weights * output)`.
    fn plain(
        maps: &[f32],
        [_, channels, height, width]: [usize; 4],
        regions: &[MapRegion],
        side: usize,
        weights: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let (mut output, mut gradient) = (Vec::new(), vec![0.0; maps.len()]);
        for region in regions {
            let (bottom, right) = (region.bottom.min(height - 1), region.right.min(width - 1));
            let (top, left) = (region.top.min(height - 1), region.left.min(width - 1));
            let (rows, columns) = (bottom.max(top) - top + 1, right.max(left) - left + 1);
            for channel in 0..channels {
                for y in 0..side {
                    for x in 0..side {
                        let mut best: Option<(f32, usize)> = None;
                        for row in (y * rows) / side..((y + 1) * rows).div_ceil(side) {
                            for column in (x * columns) / side..((x + 1) * columns).div_ceil(side) {
                                let plane = (region.image * channels + channel) * height;
                                let cell = (plane + top + row) * width + left + column;
                                if best.is_none_or(|(most, _)| maps[cell] > most) {
                                    best = Some((maps[cell], cell));
                                }
                            }
                        }
                        let (most, cell) = best.unwrap();
                        gradient[cell] += weights[output.len()];
                        output.push(most);
                    }
                }
            }
        }
        (output, gradient)
    }

    #[test]
    fn parts_of_a_small_map_by_hand() {
        let device = Device::flex();
        let map = maps(&[1., 2., 3., 4., 5., 6., 7., 8., 9.], [1, 1, 3, 3], &device);
        // Three rows in two parts: rows 0-1 and 1-2.
        let pooled = roi_max_pool(map.clone(), &[region(0, [0, 0, 2, 2])], 2);
        assert_eq!(values(pooled), [5., 6., 8., 9.]);
        // One cell, repeated; and a region that leaves the map.
        let pooled = roi_max_pool(map.clone(), &[region(0, [1, 1, 1, 1]), region(0, [2, 2, 9, 9])], 2);
        assert_eq!(values(pooled), [5., 5., 5., 5., 9., 9., 9., 9.]);
        assert_eq!(roi_max_pool(map, &[], 2).dims(), [0, 1, 2, 2]);
    }

    #[test]
    fn gradients_go_to_the_maxima_and_add_up() {
        let device = Device::flex().autodiff();
        let map = maps(&[1., 2., 3., 4., 5., 6., 7., 8., 9.], [1, 1, 3, 3], &device).require_grad();
        let pooled = roi_max_pool(map.clone(), &[region(0, [0, 0, 2, 2]), region(0, [1, 1, 1, 1])], 2);
        let gradients = pooled.sum().backward();
        let gradient = map.grad(&gradients).unwrap();
        assert_eq!(values(gradient), [0., 0., 0., 0., 5., 1., 0., 1., 1.]);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 60,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_region_of_any_map_gives_what_the_definition_says(
            seed in any::<u64>(), batch in 1..3_usize, channels in 1..5_usize, height in 1..12_usize,
            width in 1..12_usize,
            side in 1..8_usize, num_regions in 1..6_usize,
        ) {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            let shape = [batch, channels, height, width];
            // Few values, so that maxima repeat, and all negative in some.
            let cells: Vec<f32> =
                (0..shape.iter().product()).map(|_| generator.random_range(-4..2_i32) as f32).collect();
            let regions: Vec<MapRegion> = (0..num_regions)
                .map(|_| {
                    let mut side = |length: usize| generator.random_range(0..length + 2);
                    let bounds = [side(height), side(width), side(height), side(width)];
                    region(generator.random_range(0..batch), bounds)
                })
                .collect();
            let weights: Vec<f32> = (0..num_regions * channels * side * side)
                .map(|_| generator.random_range(-8..8_i32) as f32)
                .collect();
            let device = Device::flex().autodiff();
            let input = maps(&cells, shape, &device).require_grad();
            let pooled = roi_max_pool(input.clone(), &regions, side);
            let factors = maps(&weights, [num_regions, channels, side, side], &device);
            let gradients = (pooled.clone() * factors).sum().backward();
            let (output, gradient) = plain(&cells, shape, &regions, side, &weights);
            prop_assert_eq!(values(pooled.inner()), output);
            prop_assert_eq!(values(input.grad(&gradients).unwrap()), gradient);
        }
    }
}
