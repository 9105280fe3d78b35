//! The operation and its gradient on plain arrays.

use rayon::prelude::*;

use super::MapRegion;

/// Maxima `[regions, channels, side, side]` and, for each, the place of its maximum in its plane of the map.
pub(super) fn max_pool(
    maps: &[f32],
    [_, channels, height, width]: [usize; 4],
    regions: &[MapRegion],
    side: usize,
) -> (Vec<f32>, Vec<i32>) {
    let plane_len = side * side;
    let mut maxima = vec![0.0; regions.len() * channels * plane_len];
    let mut places = vec![0; maxima.len()];
    let of_region = channels * plane_len;
    let outputs = maxima.par_chunks_mut(of_region).zip(places.par_chunks_mut(of_region));
    outputs.zip(regions).for_each(|((maxima, places), region)| {
        let (rows, columns) =
            (parts(region.top, region.bottom, height, side), parts(region.left, region.right, width, side));
        let planes = maxima.chunks_exact_mut(plane_len).zip(places.chunks_exact_mut(plane_len));
        for (channel, (maxima, places)) in planes.enumerate() {
            let start = (region.image * channels + channel) * height * width;
            let plane = &maps[start..start + height * width];
            for (y, rows) in rows.iter().enumerate() {
                for (x, columns) in columns.iter().enumerate() {
                    let first = rows.0 * width + columns.0;
                    let (mut most, mut place) = (plane[first], first);
                    for row in rows.0..rows.1 {
                        let start = row * width + columns.0;
                        for (offset, &value) in plane[start..row * width + columns.1].iter().enumerate() {
                            if value > most {
                                (most, place) = (value, start + offset);
                            }
                        }
                    }
                    maxima[y * side + x] = most;
                    places[y * side + x] = place as i32;
                }
            }
        }
    });
    (maxima, places)
}

/// The gradient of the maps: what each maximum passes on, added at its place, in the order of the regions.
pub(super) fn max_pool_gradient(
    of_maxima: &[f32],
    places: &[i32],
    [batch, channels, height, width]: [usize; 4],
    regions: &[MapRegion],
    side: usize,
) -> Vec<f32> {
    let (plane_len, map_len) = (side * side, height * width);
    let mut gradient = vec![0.0; batch * channels * map_len];
    // A thread owns a plane of the map, so that sums have one order.
    gradient.par_chunks_mut(map_len).enumerate().for_each(|(plane, gradient)| {
        let (image, channel) = (plane / channels, plane % channels);
        for (index, _) in regions.iter().enumerate().filter(|(_, region)| region.image == image) {
            let start = (index * channels + channel) * plane_len;
            let passed = of_maxima[start..start + plane_len].iter().zip(&places[start..start + plane_len]);
            passed.for_each(|(value, &place)| gradient[place as usize] += value);
        }
    });
    gradient
}

/// First and one past the last cell of each of `side` parts of `first..=last`, cut to `length` cells.
pub(super) fn parts(first: usize, last: usize, length: usize, side: usize) -> Vec<(usize, usize)> {
    let first = first.min(length - 1);
    let num_cells = last.clamp(first, length - 1) - first + 1;
    let part =
        |index: usize| (first + index * num_cells / side, first + ((index + 1) * num_cells).div_ceil(side));
    (0..side).map(part).collect()
}
