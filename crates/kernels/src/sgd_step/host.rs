//! A step of stochastic gradient descent on the CPU.

use pulp::Arch;
use rayon::prelude::*;

use super::SgdFactors;

/// Weights a thread takes at a time.
const CHUNK: usize = 1 << 16;

/// Replaces weights and velocities by the new ones.
pub(super) fn step(weights: &mut [f32], gradient: &[f32], velocity: &mut [f32], factors: SgdFactors) {
    let [rate, momentum, decay] =
        [factors.learning_rate, factors.momentum, factors.weight_decay].map(|factor| factor as f32);
    let arch = Arch::new();
    let chunks =
        weights.par_chunks_mut(CHUNK).zip(velocity.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|((weights, velocity), gradient)| {
        arch.dispatch(|| {
            for ((weight, velocity), &gradient) in weights.iter_mut().zip(velocity).zip(gradient) {
                *velocity = *velocity * momentum + (gradient + *weight * decay);
                *weight -= *velocity * rate;
            }
        });
    });
}
