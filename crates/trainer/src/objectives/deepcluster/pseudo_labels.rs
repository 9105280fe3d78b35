//! Which images an epoch trains on, and with which pseudo-label.

use deepcluster_clustering::Assignments;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::objectives::deepcluster::config::Sampling;

/// The images of one epoch in training order, `num_samples` of them, drawn from the clusters as `sampling`
/// says. Each image's pseudo-label is its cluster.
pub(crate) fn sample_images(
    assignments: &Assignments,
    sampling: Sampling,
    num_samples: usize,
    seed: u64,
) -> Vec<u32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    match sampling {
        Sampling::Uniform => uniform_over_clusters(assignments, num_samples, &mut generator),
        Sampling::Misaligned => {
            // The original draws numbers of images but reads them as positions in the images sorted by
            // cluster.
            let by_cluster: Vec<u32> = assignments.members_by_cluster().into_iter().flatten().collect();
            let drawn = uniform_over_clusters(assignments, num_samples, &mut generator);
            drawn.into_iter().map(|index| by_cluster[index as usize]).collect()
        }
        Sampling::Shuffle => {
            let mut images = Vec::with_capacity(num_samples);
            while images.len() < num_samples {
                let mut pass: Vec<u32> = (0..assignments.len() as u32).collect();
                pass.shuffle(&mut generator);
                images.extend(pass);
            }
            images.truncate(num_samples);
            images
        }
    }
}

/// Draws the same number of images from every non-empty cluster: without repetition where a cluster has
/// enough, with repetition where not (section 3.3 of the paper).
fn uniform_over_clusters(
    assignments: &Assignments,
    num_samples: usize,
    generator: &mut ChaCha8Rng,
) -> Vec<u32> {
    let clusters: Vec<Vec<u32>> =
        assignments.members_by_cluster().into_iter().filter(|members| !members.is_empty()).collect();
    let per_cluster = num_samples / clusters.len().max(1) + 1;
    let mut images = Vec::with_capacity(clusters.len() * per_cluster);
    for members in &clusters {
        if members.len() <= per_cluster {
            images.extend((0..per_cluster).map(|_| members[generator.random_range(0..members.len())]));
        } else {
            images.extend(members.sample(generator, per_cluster));
        }
    }
    images.shuffle(generator);
    images.truncate(num_samples);
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 900 images in cluster 0, 100 in cluster 1, cluster 2 empty; the images of both are interleaved.
    fn unbalanced() -> Assignments {
        let labels = (0..1000).map(|index| u32::from(index % 10 == 0)).collect();
        Assignments::new(labels, 3).unwrap()
    }

    fn share_of_small_cluster(sampling: Sampling) -> f64 {
        let assignments = unbalanced();
        let images = sample_images(&assignments, sampling, 1000, 5);
        assert_eq!(images.len(), 1000);
        let small = images.iter().filter(|&&image| assignments.labels()[image as usize] == 1).count();
        small as f64 / 1000.0
    }

    #[test]
    fn uniform_sampling_draws_every_cluster_equally_often() {
        // 501 from either cluster, 2 of the 1,002 cut off.
        assert!((share_of_small_cluster(Sampling::Uniform) - 0.5).abs() <= 0.002);
    }

    #[test]
    fn the_sampler_of_the_original_does_not() {
        // Half of its draws are numbers of the small cluster's images, spread evenly over 0..1000; read as
        // positions in the images sorted by cluster, a tenth of them falls into the small cluster. The other
        // half likewise.
        assert!(share_of_small_cluster(Sampling::Misaligned) < 0.2);
    }

    #[test]
    fn shuffle_draws_every_image_once() {
        let mut images = sample_images(&unbalanced(), Sampling::Shuffle, 1000, 5);
        images.sort_unstable();
        assert!(images.into_iter().eq(0..1000));
        assert_eq!(sample_images(&unbalanced(), Sampling::Shuffle, 2500, 5).len(), 2500);
    }

    #[test]
    fn the_seed_decides_the_draw() {
        let draw = |seed| sample_images(&unbalanced(), Sampling::Uniform, 1000, seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
