//! Maps of a layer pooled to at most about 10,000 values, for linear probes.

use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use deepcluster_models::Activation;

/// Values of a pooled layer, at most: the paper's probes see 9,600 of conv1, conv3 and conv4 and 9,216 of
/// conv2 and conv5.
pub const MAX_POOLED_VALUES: usize = 10_000;

/// Averages maps `[batch, channels, side, side]` over equal squares, so that about [`MAX_POOLED_VALUES`]
/// remain, and lays them out as `[batch, values]`.
///
/// The side of the result is the largest with `channels * side^2` within the bound; the squares are the
/// smallest, with the least padding, that lead to it. On AlexNet at 224 px these are the squares of the
/// original: 6 with a padding of 3 for conv1, 4 for conv2, 3 with a padding of 1 for conv3 and conv4, 2 for
/// conv5.
pub fn pool_map(maps: Tensor<4>) -> Tensor<2> {
    let [_, channels, side, _] = maps.dims();
    match pooling(channels, side) {
        None => maps.flatten(1, 3),
        Some((square, padding)) => {
            let options = AvgPoolOptions::new([square; 2]).with_padding([padding; 2]);
            avg_pool2d(maps, options).flatten(1, 3)
        }
    }
}

/// One row for each image, `[batch, values]`: maps as [`pool_map`] averages them, the mean over all tokens, a
/// vector as it is.
pub(crate) fn pool_activation(activation: Activation) -> Tensor<2> {
    match activation {
        Activation::Map(maps) => pool_map(maps),
        Activation::Tokens(tokens) => tokens.mean_dim(1).flatten(1, 2),
        Activation::Vector(rows) => rows,
    }
}

/// Side and padding of the squares, or `None` where the maps are small enough.
fn pooling(channels: usize, side: usize) -> Option<(usize, usize)> {
    let most = ((MAX_POOLED_VALUES as f64 / channels as f64).sqrt() as usize).max(1);
    if side <= most {
        return None;
    }
    // The largest first: not every side is a number of equal squares.
    (1..=most).rev().find_map(|wanted| {
        let squares = (2..=side).flat_map(|square| (0..=square / 2).map(move |padding| (square, padding)));
        let mut fitting = squares.filter(|(square, padding)| {
            let padded = side + 2 * padding;
            padded >= *square && (padded - square) / square + 1 == wanted
        });
        fitting.next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn alexnet_is_pooled_as_in_the_original() {
        let layers = [(96, 55), (256, 27), (384, 13), (384, 13), (256, 13)];
        let found = layers.map(|(channels, side)| pooling(channels, side).unwrap());
        assert_eq!(found, [(6, 3), (4, 0), (3, 1), (3, 1), (2, 0)]);
        let sizes = layers.map(|(channels, side)| {
            pool_map(Tensor::zeros([1, channels, side, side], &Device::flex())).dims()[1]
        });
        assert_eq!(sizes, [9600, 9216, 9600, 9600, 9216]);
    }

    #[test]
    fn every_map_stays_within_the_bound() {
        for channels in [1, 3, 12, 64, 512, 20_000] {
            for side in 1..60 {
                let pooled = match pooling(channels, side) {
                    None => side,
                    Some((square, padding)) => (side + 2 * padding - square) / square + 1,
                };
                assert!(pooled == 1 || channels * pooled * pooled <= MAX_POOLED_VALUES, "{channels} {side}");
                assert!(pooled >= 1);
            }
        }
    }

    #[test]
    fn values_are_means_of_squares() {
        // 4 x 4 of 4,000 channels: one value each, the mean of the map.
        let maps = Tensor::<4>::ones([1, 4000, 4, 4], &Device::flex()) * 3.0;
        let pooled = pool_map(maps);
        assert_eq!(pooled.dims(), [1, 4000]);
        assert!(pooled.into_data().as_slice::<f32>().unwrap().iter().all(|&value| value == 3.0));
    }
}
