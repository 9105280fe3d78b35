//! k-means++ seeding by Markov chains (Bachem et al., NIPS 2016, algorithm 1).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::plus_plus::draw;
use super::{distance_to_nearest, weighted_distances};
use crate::kmeans::samples::Samples;
use crate::simd::Instructions;

/// Chooses `count` samples with chains of `chain_length` steps.
pub(super) fn choose(
    samples: &Samples<'_>,
    count: usize,
    chain_length: usize,
    generator: &mut ChaCha8Rng,
) -> Vec<usize> {
    let weights: Vec<f64> = (0..samples.len()).map(|index| f64::from(samples.weight(index))).collect();
    let first = draw(&weights, generator);
    let mut centroids = samples.gather([first]);
    let mut chosen = vec![first];
    let proposal = Proposal::new(weighted_distances(samples, &centroids), weights);
    while chosen.len() < count {
        // The steps of a chain do not depend on each other's outcome, so their distances are taken together.
        let steps: Vec<usize> = (0..chain_length).map(|_| proposal.draw(generator)).collect();
        let distances: Vec<f64> = steps
            .par_iter()
            .map(|&step| {
                let row = samples.gather([step]);
                let nearest = Instructions::best().compile_for(
                    #[inline(always)]
                    || distance_to_nearest(&row, &centroids),
                );
                nearest * f64::from(samples.weight(step))
            })
            .collect();
        let mut state = (steps[0], distances[0]);
        for (&step, &distance) in steps.iter().zip(&distances).skip(1) {
            let gain = distance * proposal.probability(state.0);
            let loss = state.1 * proposal.probability(step);
            if loss == 0.0 || gain > loss * generator.random::<f64>() {
                state = (step, distance);
            }
        }
        chosen.push(state.0);
        centroids.extend(samples.gather([state.0]));
    }
    chosen
}

/// Half in proportion to the distance to the first centroid, half to the weight.
struct Proposal {
    /// Up to a common factor.
    probabilities: Vec<f64>,
    cumulative: Vec<f64>,
}

impl Proposal {
    fn new(distances: Vec<f64>, weights: Vec<f64>) -> Self {
        let (all_distances, all_weights) = (distances.iter().sum::<f64>(), weights.iter().sum::<f64>());
        let by_distance = if all_distances > 0.0 { 0.5 / all_distances } else { 0.0 };
        let parts = distances.iter().zip(&weights);
        let probabilities: Vec<f64> =
            parts.map(|(distance, weight)| distance * by_distance + 0.5 * weight / all_weights).collect();
        let cumulative = probabilities
            .iter()
            .scan(0.0, |sum, probability| {
                *sum += probability;
                Some(*sum)
            })
            .collect();
        Self { probabilities, cumulative }
    }

    fn draw(&self, generator: &mut ChaCha8Rng) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let target = generator.random::<f64>() * total;
        self.cumulative.partition_point(|&sum| sum <= target).min(self.cumulative.len() - 1)
    }

    fn probability(&self, index: usize) -> f64 {
        self.probabilities[index]
    }
}
