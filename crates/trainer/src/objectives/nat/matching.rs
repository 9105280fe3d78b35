//! The best matching of a batch of features with as many targets.

use ndarray::ArrayView2;
use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Binary digits after the point of a score. The matching is computed in integers, where it is exact; sums of
/// a batch of any size fit.
const FRACTION_BITS: i32 = 40;

/// The column that is matched to each row of `scores`, `[b, b]`, so that the sum of the scores is the
/// greatest; `None` where a score is not within -2 to 2, as cosines are.
///
/// Scores are rounded to 2^-41, far below the rounding of a product in single precision.
pub(crate) fn best_matching(scores: ArrayView2<'_, f32>) -> Option<Vec<usize>> {
    let (num_rows, num_columns) = scores.dim();
    if num_rows != num_columns || !scores.iter().all(|score| score.abs() <= 2.0) {
        return None;
    }
    if num_rows == 0 {
        return Some(Vec::new());
    }
    let unit = f64::from(FRACTION_BITS).exp2();
    let rounded = |&score: &f32| (f64::from(score) * unit).round() as i64;
    let mut weights: Vec<i64> = scores.iter().map(rounded).collect();
    // Less the greatest of its column, no other matching becomes best, and the search is ten times faster
    // where all features nearly coincide, as those of an untrained network do.
    for column in 0..num_columns {
        let places = (column..num_rows * num_columns).step_by(num_columns);
        let greatest = places.clone().map(|place| weights[place]).max().unwrap_or_default();
        places.for_each(|place| weights[place] -= greatest);
    }
    let weights = Matrix::from_vec(num_rows, num_columns, weights).ok()?;
    Some(kuhn_munkres(&weights).1)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::objectives::nat::targets::targets;

    fn sum(scores: &Array2<f32>, columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, &column)| f64::from(scores[[row, column]])).sum()
    }

    fn is_permutation(columns: &[usize]) -> bool {
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..columns.len())
    }

    /// The greatest sum over all matchings, by trying each.
    fn greatest_sum(scores: &Array2<f32>, row: usize, used: &mut Vec<bool>) -> f64 {
        if row == scores.nrows() {
            return 0.0;
        }
        let mut best = f64::NEG_INFINITY;
        for column in 0..scores.ncols() {
            if !used[column] {
                used[column] = true;
                best = best.max(f64::from(scores[[row, column]]) + greatest_sum(scores, row + 1, used));
                used[column] = false;
            }
        }
        best
    }

    #[test]
    fn no_other_matching_has_a_greater_sum() {
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        for size in 1..=7 {
            for kind in 0..24 {
                let scores = Array2::from_shape_fn((size, size), |(row, column)| match kind % 6 {
                    0 => generator.random::<f32>() * 2.0 - 1.0,
                    // Ties.
                    1 => (generator.random_range(0..3) as f32 - 1.0) / 2.0,
                    2 => 0.25,
                    // One row decides, or one column.
                    3 => {
                        if row == 0 {
                            generator.random::<f32>() * 2.0
                        } else {
                            generator.random::<f32>() * 1e-6
                        }
                    }
                    4 => {
                        if column == 0 {
                            -2.0
                        } else {
                            generator.random::<f32>()
                        }
                    }
                    _ => -generator.random::<f32>(),
                });
                let columns = best_matching(scores.view()).unwrap();
                assert!(is_permutation(&columns), "{columns:?}");
                let greatest = greatest_sum(&scores, 0, &mut vec![false; size]);
                let found = sum(&scores, &columns);
                assert!(
                    (found - greatest).abs() < 1e-10,
                    "kind {kind}: {found}, not {greatest} of {scores:?}"
                );
            }
        }
    }

    #[test]
    fn scores_that_are_none_are_refused() {
        for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            let mut scores = Array2::<f32>::zeros((3, 3));
            scores[[1, 2]] = score;
            assert_eq!(best_matching(scores.view()), None);
        }
        assert_eq!(best_matching(Array2::<f32>::zeros((2, 3)).view()), None);
        assert_eq!(best_matching(Array2::<f32>::zeros((0, 0)).view()), Some(Vec::new()));
    }

    /// Losses after one exchange between random points: the note of the baselines on NAT, section 1.4, to 3
    /// %.
    #[test]
    fn random_points_have_the_known_loss_after_one_exchange() {
        for (batch, dim, expected) in
            [(128, 32, 1.170), (256, 32, 1.082), (256, 128, 1.531), (256, 2048, 1.883)]
        {
            let numbers: Vec<u32> = (0..batch as u32).collect();
            let draw = |seed| Array2::from_shape_vec((batch, dim), targets(seed, &numbers, dim)).unwrap();
            let (features, targets) = (draw(1), draw(2));
            let scores = features.dot(&targets.t());
            let columns = best_matching(scores.view()).unwrap();
            assert!(is_permutation(&columns));
            let before = 2.0
                - 2.0 * sum(&scores, &numbers.iter().map(|&n| n as usize).collect::<Vec<_>>()) / batch as f64;
            assert!((before - 2.0).abs() < 0.06, "{before}");
            let loss = 2.0 - 2.0 * sum(&scores, &columns) / batch as f64;
            assert!((loss / expected - 1.0).abs() < 0.03, "b {batch}, d {dim}: {loss}, not {expected}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_swap_of_two_improves_a_matching(
            size in 2_usize..40,
            seed in any::<u64>(),
            levels in 1_u32..2000,
        ) {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            let level = |_| generator.random_range(0..=levels) as f32 / levels as f32 * 2.0 - 1.0;
            let scores = Array2::from_shape_fn((size, size), level);
            let columns = best_matching(scores.view()).unwrap();
            prop_assert!(is_permutation(&columns));
            for first in 0..size {
                for second in 0..first {
                    let (a, b) = (columns[first], columns[second]);
                    let kept = f64::from(scores[[first, a]]) + f64::from(scores[[second, b]]);
                    let swapped = f64::from(scores[[first, b]]) + f64::from(scores[[second, a]]);
                    prop_assert!(swapped <= kept + 1e-10);
                }
            }
        }
    }
}
