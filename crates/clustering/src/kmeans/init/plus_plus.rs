//! k-means++ seeding.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::position_of_sum;
use crate::kmeans::samples::Samples;
use crate::rows::distance::squared_distance;
use crate::simd::Instructions;

const ROWS_PER_BLOCK: usize = 1024;

/// Chooses `count` samples.
pub(super) fn choose(samples: &Samples<'_>, count: usize, generator: &mut ChaCha8Rng) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(count);
    // Before there is a centroid, all samples are equally far.
    let mut distances: Vec<f64> = (0..samples.len()).map(|index| f64::from(samples.weight(index))).collect();
    while chosen.len() < count {
        let index = draw(&distances, generator);
        if chosen.is_empty() {
            distances.fill(f64::INFINITY);
        }
        chosen.push(index);
        lower_distances(samples, &samples.gather([index]), &mut distances);
    }
    chosen
}

/// Draws a position in proportion to `values`, summed in blocks so that the search is short; any if all are
/// 0.
pub(super) fn draw(values: &[f64], generator: &mut ChaCha8Rng) -> usize {
    let sums: Vec<f64> = values.par_chunks(ROWS_PER_BLOCK).map(|values| values.iter().sum()).collect();
    let total: f64 = sums.iter().sum();
    let target = generator.random::<f64>() * total;
    let Some(block) = position_of_sum(&sums, target) else {
        return generator.random_range(0..values.len());
    };
    let first = block * ROWS_PER_BLOCK;
    let values = &values[first..(first + ROWS_PER_BLOCK).min(values.len())];
    let rest = target - sums[..block].iter().sum::<f64>();
    first + position_of_sum(values, rest).unwrap_or(0)
}

/// Lowers each of `distances` to the squared distance to `centroid` times the weight of the sample.
pub(super) fn lower_distances(samples: &Samples<'_>, centroid: &[f32], distances: &mut [f64]) {
    let dim = samples.dim();
    distances.par_chunks_mut(ROWS_PER_BLOCK).enumerate().for_each_init(
        Vec::new,
        |buffer, (block, distances)| {
            let first = block * ROWS_PER_BLOCK;
            let rows = samples.source.read_rows(first, distances.len(), buffer);
            Instructions::best().compile_for(
                #[inline(always)]
                || {
                    for (index, (row, distance)) in (first..).zip(rows.chunks_exact(dim).zip(distances)) {
                        let weight = f64::from(samples.weight(index));
                        *distance = distance.min(squared_distance(row, centroid) * weight);
                    }
                },
            );
        },
    );
}
