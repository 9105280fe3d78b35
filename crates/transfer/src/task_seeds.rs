//! The random numbers of a task.

use deepcluster_engine::{SeedUse, derive_seed};

/// Seeds of everything random in a task, derived from the one seed of its settings. No two share a random
/// word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskSeeds(u64);

impl TaskSeeds {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// New layers of the network.
    pub(crate) fn layers(self) -> u64 {
        derive_seed(self.0, SeedUse::TaskLayers, 0, 0)
    }

    /// A head: the number of the layer that it is on, or of the output.
    pub(crate) fn head(self, index: usize) -> u64 {
        derive_seed(self.0, SeedUse::TaskHead, 0, index)
    }

    /// The order of the images in a pass.
    pub(crate) fn order(self, pass: usize) -> u64 {
        derive_seed(self.0, SeedUse::TaskOrder, pass, 0)
    }

    /// The crop or mirror of an image, by its step (or pass) and its position there.
    pub(crate) fn augmentation(self, step: usize, position: usize) -> u64 {
        derive_seed(self.0, SeedUse::TaskAugmentation, step, position)
    }

    /// Dropout masks, by the step and the position of the image that they are for; 0 where all share them.
    pub(crate) fn dropout(self, step: usize, position: usize) -> u64 {
        derive_seed(self.0, SeedUse::TaskDropout, step, position)
    }

    /// The regions of an image that a detector learns from.
    pub(crate) fn regions(self, step: usize, position: usize) -> u64 {
        derive_seed(self.0, SeedUse::TaskRegions, step, position)
    }

    /// A random crop of a test image.
    pub(crate) fn test_crop(self, image_index: usize, crop: usize) -> u64 {
        derive_seed(self.0, SeedUse::TaskTestCrops, image_index, crop)
    }

    /// The order in which the linear machine of a class visits its samples.
    pub(crate) fn linear_machine(self, class: usize) -> u64 {
        derive_seed(self.0, SeedUse::TaskLinearMachines, 0, class)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn no_two_uses_share_a_random_word() {
        let seeds = TaskSeeds::new(31);
        // The seed of a run is that of its tasks by default.
        let mut all = vec![seeds.layers(), derive_seed(31, SeedUse::Weights, 0, 0)];
        for step in 0..20 {
            all.extend([seeds.head(step), seeds.order(step), seeds.linear_machine(step)]);
            for position in 0..4 {
                all.extend([seeds.augmentation(step, position), seeds.dropout(step, position)]);
                all.extend([seeds.regions(step, position), seeds.test_crop(step, position)]);
            }
        }
        // Layers, masks, crops and orders are drawn from generators of these seeds.
        let words = all.iter().flat_map(|&seed| {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            (0..64).map(move |_| generator.next_u64())
        });
        assert_eq!(words.collect::<HashSet<u64>>().len(), all.len() * 64);
    }
}
