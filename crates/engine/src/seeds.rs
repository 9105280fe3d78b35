//! All randomness of a run, or of a task on its network, comes from one seed; every use derives its own.

/// The use of a derived seed. The numbers are part of the run format: changing one changes every result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedUse {
    /// Initial weights of the network.
    Weights = 1,
    /// Starts of clustering.
    Clustering = 2,
    /// Initial weights of heads.
    Head = 3,
    /// The images of an epoch and their order.
    Sampling = 4,
    /// Crops of an image.
    Augmentation = 5,
    /// Dropout masks.
    Dropout = 6,
    /// Random layers of Burn, which draw from the device.
    Device = 7,
    /// Fixed targets.
    Targets = 8,
    /// Layers that a task of transfer draws anew.
    TaskLayers = 9,
    /// Initial weights of the heads of a task.
    TaskHead = 10,
    /// Order of the images of a task.
    TaskOrder = 11,
    /// Crops and mirrors of the images that a task learns from.
    TaskAugmentation = 12,
    /// Dropout masks of a task.
    TaskDropout = 13,
    /// Regions of an image that a detector learns from.
    TaskRegions = 14,
    /// Random crops of test images.
    TaskTestCrops = 15,
    /// Orders in which linear support vector machines visit their samples.
    TaskLinearMachines = 16,
    /// Ranks of the boxes of selective search.
    Proposals = 17,
}

/// The seed of one use at one place of a run (an epoch, a step or an image), well mixed so that neighbouring
/// places share nothing.
///
/// ```
/// use deepcluster_engine::{SeedUse, derive_seed};
///
/// let first = derive_seed(31, SeedUse::Dropout, 0, 0);
/// assert_eq!(first, derive_seed(31, SeedUse::Dropout, 0, 0));
/// assert_ne!(first, derive_seed(31, SeedUse::Dropout, 0, 1));
/// ```
pub fn derive_seed(run_seed: u64, seed_use: SeedUse, epoch: usize, index: usize) -> u64 {
    [seed_use as u64, epoch as u64, index as u64]
        .into_iter()
        .fold(mix(run_seed), |state, word| mix(state ^ mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15))))
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood, 2014).
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn places_and_uses_get_different_seeds() {
        let mut seeds = HashSet::new();
        for run_seed in 0..3 {
            for seed_use in [SeedUse::Weights, SeedUse::Head, SeedUse::Dropout] {
                for epoch in 0..10 {
                    seeds.extend((0..100).map(|index| derive_seed(run_seed, seed_use, epoch, index)));
                }
            }
        }
        assert_eq!(seeds.len(), 3 * 3 * 10 * 100);
    }
}
