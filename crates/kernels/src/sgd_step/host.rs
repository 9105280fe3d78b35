//! A step of stochastic gradient descent on the CPU.

use pulp::Arch;
use rayon::prelude::*;

use super::SgdFactors;

/// Weights a thread takes at a time.
const CHUNK: usize = 1 << 16;

/// Replaces gradients by the new weights, and velocities by the new velocities.
pub(super) fn step(weights: &[f32], gradient: &mut [f32], velocity: &mut [f32], factors: SgdFactors) {
    let [rate, momentum, decay] =
        [factors.learning_rate, factors.momentum, factors.weight_decay].map(|factor| factor as f32);
    let arch = Arch::new();
    let chunks =
        gradient.par_chunks_mut(CHUNK).zip(velocity.par_chunks_mut(CHUNK)).zip(weights.par_chunks(CHUNK));
    chunks.for_each(|((gradient, velocity), weights)| {
        arch.dispatch(|| {
            for ((gradient, velocity), &weight) in gradient.iter_mut().zip(velocity).zip(weights) {
                *velocity = *velocity * momentum + (*gradient + weight * decay);
                *gradient = weight - *velocity * rate;
            }
        });
    });
}
