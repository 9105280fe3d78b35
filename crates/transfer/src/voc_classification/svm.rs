//! Linear support vector machines.

use ndarray::{ArrayView1, ArrayView2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Passes over the samples, at most; LIBLINEAR's default is 1,000, and 2,000 in the protocol of VISSL.
const MAX_PASSES: usize = 2_000;
/// The greatest violation of the optimality conditions that ends the search.
const TOLERANCE: f64 = 1e-4;

/// Weights and bias of a linear classifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LinearSvm {
    pub(super) weights: Vec<f64>,
    pub(super) bias: f64,
}

impl LinearSvm {
    /// Minimises `(|w|^2 + b^2) / 2 + cost sum_i c_i max(0, 1 - y_i (w x_i + b))^2` by dual coordinate
    /// descent (Hsieh et al., ICML 2008), where `c_i` is `positive_weight` for samples of the class and 1 for
    /// others.
    pub(super) fn fit(
        samples: ArrayView2<'_, f32>,
        rows: &[usize],
        is_positive: &[bool],
        cost: f64,
        positive_weight: f64,
        seed: u64,
    ) -> Self {
        let mut svm = Self { weights: vec![0.0; samples.ncols()], bias: 0.0 };
        let mut duals = vec![0.0; rows.len()];
        // The squared hinge adds 1 / (2 C) to the diagonal.
        let damping = |positive: bool| 0.5 / (cost * if positive { positive_weight } else { 1.0 });
        let squares: Vec<f64> = rows
            .iter()
            .map(|&row| samples.row(row).iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() + 1.0)
            .collect();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        for _ in 0..MAX_PASSES {
            order.shuffle(&mut generator);
            let mut violation = 0.0_f64;
            for &index in &order {
                let (sample, positive) = (samples.row(rows[index]), is_positive[index]);
                let sign = if positive { 1.0 } else { -1.0 };
                let extra = damping(positive);
                let gradient = sign * svm.score(sample) - 1.0 + extra * duals[index];
                let projected = if duals[index] == 0.0 { gradient.min(0.0) } else { gradient };
                violation = violation.max(projected.abs());
                if projected == 0.0 {
                    continue;
                }
                let before = duals[index];
                duals[index] = (before - gradient / (squares[index] + extra)).max(0.0);
                let change = (duals[index] - before) * sign;
                svm.weights.iter_mut().zip(sample).for_each(|(weight, &value)| {
                    *weight += change * f64::from(value);
                });
                svm.bias += change;
            }
            if violation < TOLERANCE {
                break;
            }
        }
        svm
    }

    /// Signed score of a sample, positive on the side of the class.
    pub(super) fn score(&self, sample: ArrayView1<'_, f32>) -> f64 {
        let products = self.weights.iter().zip(sample).map(|(weight, &value)| weight * f64::from(value));
        products.sum::<f64>() + self.bias
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use rand::RngExt;

    use super::*;

    fn objective(
        svm: &LinearSvm,
        samples: &Array2<f32>,
        is_positive: &[bool],
        cost: f64,
        positive_weight: f64,
    ) -> f64 {
        let norm = svm.weights.iter().map(|weight| weight * weight).sum::<f64>() + svm.bias * svm.bias;
        let hinges = samples.rows().into_iter().zip(is_positive).map(|(sample, &positive)| {
            let sign = if positive { 1.0 } else { -1.0 };
            let weight = if positive { positive_weight } else { 1.0 };
            weight * (1.0 - sign * svm.score(sample)).max(0.0).powi(2)
        });
        norm / 2.0 + cost * hinges.sum::<f64>()
    }

    #[test]
    fn one_sample_by_hand() {
        // Minimum of (w^2 + b^2) / 2 + C (1 - w - b)^2 at w = b = 2 C / (1 + 4 C).
        let samples = array![[1.0_f32]];
        let svm = LinearSvm::fit(samples.view(), &[0], &[true], 0.5, 1.0, 1);
        assert!((svm.weights[0] - 1.0 / 3.0).abs() < 1e-3 && (svm.bias - 1.0 / 3.0).abs() < 1e-3);
        // Twice the weight is twice the cost.
        let heavy = LinearSvm::fit(samples.view(), &[0], &[true], 0.5, 2.0, 1);
        assert!((heavy.bias - 2.0 / 5.0).abs() < 1e-3);
    }

    #[test]
    fn no_step_in_any_direction_lowers_the_objective() {
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let samples = Array2::from_shape_fn((60, 8), |_| generator.random_range(-1.0_f32..1.0));
        let is_positive: Vec<bool> = samples
            .rows()
            .into_iter()
            .map(|row| row[0] + 0.5 * row[1] + generator.random_range(-0.5_f32..0.5) > 0.0)
            .collect();
        let rows: Vec<usize> = (0..60).collect();
        let svm = LinearSvm::fit(samples.view(), &rows, &is_positive, 1.0, 2.0, 1);
        let least = objective(&svm, &samples, &is_positive, 1.0, 2.0);
        for _ in 0..200 {
            let mut moved = svm.clone();
            moved.weights.iter_mut().for_each(|weight| *weight += generator.random_range(-0.02..0.02));
            moved.bias += generator.random_range(-0.02..0.02);
            assert!(objective(&moved, &samples, &is_positive, 1.0, 2.0) >= least - 1e-6);
        }
    }
}
