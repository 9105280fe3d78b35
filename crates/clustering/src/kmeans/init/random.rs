//! Different samples at random.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The first `count` steps of a Fisher-Yates shuffle of `0..num_rows`; `count` is at most `num_rows`.
pub(in crate::kmeans) fn distinct_indices(num_rows: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let Ok(num_rows) = u32::try_from(num_rows) else {
        return rand::seq::index::sample(&mut generator, num_rows, count).into_vec();
    };
    let mut order: Vec<u32> = (0..num_rows).collect();
    for position in 0..count as u32 {
        let chosen = generator.random_range(position..num_rows);
        order.swap(position as usize, chosen as usize);
    }
    order.truncate(count);
    order.into_iter().map(|index| index as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_rows_are_distinct_and_depend_on_the_seed() {
        let chosen = distinct_indices(50, 20, 3);
        let mut sorted = chosen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 20);
        assert!(sorted.iter().all(|&row| row < 50));
        assert_eq!(chosen, distinct_indices(50, 20, 3));
        assert_ne!(chosen, distinct_indices(50, 20, 4));
    }

    #[test]
    fn as_many_centroids_as_rows_take_every_row() {
        let mut chosen = distinct_indices(8, 8, 1);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
