//! Targets on the sphere, which are drawn again whenever they are needed: all of them would not fit into
//! memory.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// The targets of these numbers, `[numbers.len(), dim]`: points of the unit sphere, uniformly distributed,
/// each a function of `seed` and its number.
pub(crate) fn targets(seed: u64, numbers: &[u32], dim: usize) -> Vec<f32> {
    let mut targets = Vec::with_capacity(numbers.len() * dim);
    for &number in numbers {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(u64::from(number));
        let point: Vec<f64> = (0..dim).map(|_| StandardNormal.sample(&mut generator)).collect();
        let norm = point.iter().map(|value| value * value).sum::<f64>().sqrt();
        targets.extend(point.iter().map(|value| (value / norm) as f32));
    }
    targets
}

/// The number of each image's first target: a random permutation.
pub(crate) fn first_assignment(seed: u64, num_images: usize) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..num_images as u32).collect();
    numbers.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_length_1_and_the_same_bits_when_drawn_again() {
        let drawn = targets(7, &[0, 1, 5_000_000], 128);
        for target in drawn.chunks(128) {
            let norm = target.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            assert!((norm - 1.0).abs() < 1e-6, "{norm}");
        }
        assert_eq!(targets(7, &[5_000_000], 128), drawn[256..]);
        assert_ne!(drawn[..128], drawn[128..256]);
        assert_ne!(targets(8, &[0], 128), drawn[..128]);
    }

    #[test]
    fn targets_of_different_images_are_nearly_orthogonal() {
        // The mean square of a cosine in 1,000 dimensions is 1/1,000.
        let drawn = targets(3, &(0..40).collect::<Vec<_>>(), 1000);
        let points: Vec<&[f32]> = drawn.chunks(1000).collect();
        let mut sum = 0.0;
        for (index, first) in points.iter().enumerate() {
            for second in &points[..index] {
                let cosine: f64 = first.iter().zip(*second).map(|(a, b)| f64::from(a * b)).sum();
                sum += cosine * cosine;
            }
        }
        let mean = sum / (40.0 * 39.0 / 2.0);
        assert!((0.0008..0.0012).contains(&mean), "{mean}");
    }

    #[test]
    fn the_first_assignment_is_a_permutation() {
        let mut numbers = first_assignment(1, 1000);
        assert_ne!(numbers, first_assignment(2, 1000));
        assert!(!numbers.is_sorted());
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1000));
        assert!(first_assignment(1, 0).is_empty());
    }
}
