//! The images of each step.

use deepcluster_data::{Batches, ImageBatch, Loader, Sample, Transform};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::sgd::TaskSgd;
use crate::error::TransferError;
use crate::task_seeds::TaskSeeds;

/// Most images of all steps together: their order is laid out before the first is read, in 16 bytes each.
const MAX_SAMPLES: usize = 1 << 28;

/// Every item once in each pass, each pass in another order, cut into steps; from the step `first` on. A step
/// has at most all items.
pub(crate) fn shuffled_steps(
    num_items: usize,
    config: &TaskSgd,
    seeds: TaskSeeds,
    first: usize,
) -> impl Iterator<Item = Vec<usize>> + use<> {
    let (batch_size, num_steps) = (config.batch_size.min(num_items), config.num_steps);
    let mut order: (usize, Vec<usize>) = (usize::MAX, Vec::new());
    let mut item = move |position: usize| {
        let pass = position / num_items;
        if order.0 != pass {
            let mut items: Vec<usize> = (0..num_items).collect();
            items.shuffle(&mut ChaCha8Rng::seed_from_u64(seeds.order(pass)));
            order = (pass, items);
        }
        order.1[position % num_items]
    };
    (first..num_steps).map(move |step| (step * batch_size..(step + 1) * batch_size).map(&mut item).collect())
}

/// The random crops of the steps of a task, read ahead in the background from the first step requested.
pub(crate) struct StepBatches<'a> {
    loader: Loader,
    crop: Transform,
    /// The images to draw from.
    images: Vec<usize>,
    sgd: &'a TaskSgd,
    seeds: TaskSeeds,
    batches: Option<Batches>,
}

impl<'a> StepBatches<'a> {
    pub(crate) fn new(
        loader: Loader,
        crop: Transform,
        images: Vec<usize>,
        sgd: &'a TaskSgd,
        seeds: TaskSeeds,
    ) -> Result<Self, TransferError> {
        crop.validate()?;
        sgd.validate()?;
        let batch_size = sgd.batch_size.min(images.len()).max(1);
        if sgd.num_steps > MAX_SAMPLES / batch_size {
            let allowed = format!("at most {} with {batch_size} images in each", MAX_SAMPLES / batch_size);
            let value = sgd.num_steps.to_string();
            return Err(TransferError::InvalidConfig { field: "num_steps", value, allowed });
        }
        Ok(Self { loader, crop, images, sgd, seeds, batches: None })
    }

    /// The batch of a step; each call is for the step after that of the call before.
    pub(crate) fn batch(&mut self, step: usize) -> Option<ImageBatch> {
        if self.batches.is_none() {
            let steps = shuffled_steps(self.images.len(), self.sgd, self.seeds, step);
            let samples = (step..).zip(steps).map(|(step, items)| {
                let sample = |(position, item): (usize, usize)| Sample {
                    image_index: self.images[item],
                    augmentation_seed: self.seeds.augmentation(step, position),
                    crop: 0,
                };
                items.into_iter().enumerate().map(sample).collect()
            });
            self.batches = Some(self.loader.batches(self.crop, samples.collect()));
        }
        self.batches.as_mut()?.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fine_tuning::sgd::tests::sgd;

    #[test]
    fn passes_hold_every_item_once_and_resumed_steps_are_the_same() {
        let steps = |config: &TaskSgd, first| -> Vec<Vec<usize>> {
            shuffled_steps(3, config, TaskSeeds::new(1), first).collect()
        };
        let config = sgd(6);
        let all = steps(&config, 0);
        assert_eq!(all.len(), 6);
        let sorted = |items: &[usize]| {
            let mut items = items.to_vec();
            items.sort_unstable();
            items
        };
        assert!(all.concat().chunks(3).all(|pass| sorted(pass) == [0, 1, 2]));
        assert_eq!(steps(&config, 4), all[4..]);
        // A step never holds an item twice, however many are asked for.
        let large = steps(&TaskSgd { batch_size: usize::MAX, ..sgd(2) }, 0);
        assert!(large.iter().all(|step| sorted(step) == [0, 1, 2]));
    }
}
